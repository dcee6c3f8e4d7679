"""Script in everything that feedback shows."""

from hostile.case import FULL, answer, case, cell, without


@cell()
def script_in_html_output():
    from IPython.display import HTML

    HTML("<script>document.title='RAN'</script><img src=x onerror=\"document.title='RAN'\">")


@cell()
def script_as_javascript():
    from IPython.display import Javascript

    Javascript("document.title='RAN'")


@cell()
def script_as_image():
    from IPython.display import display

    display({"image/png": '"><script>document.title=1</script>'}, raw=True)


@answer("double", scores=without("test_double"))
def script_in_an_error():
    def double(number):
        raise ValueError("<script>document.title='RAN'</script><img src=x onerror=\"document.title='RAN'\">")


@cell()
def script_in_text():
    print("<script>document.title='RAN'</script><img src=x onerror=\"document.title='RAN'\">")


@cell()
def terminal_escapes():
    print("\x1b]0;RAN\x07\x1b[2J")


@answer("double", scores=without("test_double"))
def reason_with_escapes():
    def double(number):
        raise ValueError("\x1b[2J<b>")


def _markdown(solved):
    source = "# Hello\n\n<script>document.title='RAN'</script>\n\n<img src=x onerror=\"document.title='RAN'\">\n\n"
    source += "<a href=\"javascript:document.title='RAN'\">x</a>\n\n<svg onload=\"document.title='RAN'\"></svg>"
    solved["cells"].insert(0, {"cell_type": "markdown", "id": "script", "metadata": {}, "source": source})
    return solved


case("script-in-markdown", _markdown, FULL)


@cell()
def script_in_svg_output():
    from IPython.display import display

    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><script>document.title="RAN"</script></svg>'
    display({"image/svg+xml": drawing}, raw=True)

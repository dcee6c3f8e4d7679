"""Code that takes more than its share: processes, memory, disk, output."""

from hostile.case import answer, cell, without


@cell()
def forks():
    import os
    import time

    for _ in range(600):
        if not os.fork():
            time.sleep(60)
            os._exit(0)


@cell()
def threads():
    import threading
    import time

    for _ in range(2000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


@cell()
def memory():
    kept = []
    for _ in range(30):
        kept.append(bytearray(b"x" * 100000000))


@answer("double", scores=without("test_double"))
def memory_in_an_answer():
    def double(number):
        return [bytearray(b"x" * 100000000) for _ in range(30)]


@cell()
def memory_of_children():
    import subprocess
    import sys

    for _ in range(4):
        subprocess.Popen([sys.executable, "-c", 'x = b"x" * 600_000_000; import time; time.sleep(60)'])
    import time

    time.sleep(60)


@cell()
def disk_home():
    with open("big", "wb") as f:
        for _ in range(600):
            f.write(b"x" * 1000000)


@cell()
def disk_tmp():
    for n in range(600):
        open(f"/tmp/{n}", "wb").write(b"x" * 1000000)


@cell()
def disk_shm():
    for n in range(600):
        open(f"/dev/shm/{n}", "wb").write(b"x" * 1000000)


@cell()
def files():
    for n in range(150000):
        open(f"/tmp/{n}", "w").close()


@cell()
def sparse_file():
    with open("sparse", "wb") as f:
        f.truncate(10**13)


@cell()
def output_on_one_line():
    print("x" * 40000000)


@cell()
def output_on_many_lines():
    for n in range(400000):
        print("line", n)


@cell()
def output_past_python():
    import os

    for _ in range(500):
        os.write(1, b"x" * 1000000)


@answer("double")
def output_of_an_answer():
    def double(number):
        print("x" * 40000000)
        return number * 2


@cell()
def displays():
    from IPython.display import HTML, display

    for _ in range(300):
        display(HTML("<b>" + "x" * 1000000 + "</b>"))


@cell(scores={"test_double": 2.0})
def descriptors():
    import os

    kept = []
    for _ in range(5000):
        kept.append(os.open("/dev/null", os.O_RDONLY))


@cell()
def recursion():
    def down():
        down()

    down()


@cell()
def recursion_through_the_stack():
    import sys

    sys.setrecursionlimit(10**8)

    class A:
        def __repr__(self):
            return repr(self)

    repr(A())


@answer("totals", scores=without("test_totals"))
def returns_too_much():
    def totals(frame):
        return pd.Series(np.zeros(40000000))


@answer("totals", scores=without("test_totals"))
def returns_without_end():
    def totals(frame):
        return range(10**15)


@answer("totals", scores=without("test_totals"))
def returns_itself():
    def totals(frame):
        deep = []
        deep.append(deep)
        return deep

"""Code that looks for the network; what it reaches it prints after FOUND."""

from hostile.case import cell


@cell(reads=True)
def calls_the_host():
    import socket

    try:
        socket.create_connection(("127.0.0.1", PORT_OF_THE_TEST), 2)
        print("FOUND")
    except OSError as error:
        print(error)


@cell(reads=True)
def calls_the_internet():
    import socket

    for address in (("192.0.2.1", 80), ("198.51.100.7", 443)):
        try:
            socket.create_connection(address, 1)
            print("FOUND")
        except OSError as error:
            print(error)
    try:
        socket.getaddrinfo("example.com", 80)
        print("FOUND")
    except OSError as error:
        print(error)


@cell(reads=True)
def calls_an_abstract_socket():
    import socket

    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect("\x00socket-of-the-test")
        print("FOUND")
    except OSError as error:
        print(error)


@cell(reads=True)
def scans_its_loopback():
    import socket

    for port in [*range(1, 1024), *range(8000, 8100), *range(30000, 30200)]:
        s = socket.socket()
        s.settimeout(0.05)
        if not s.connect_ex(("127.0.0.1", port)):
            print("FOUND", port)
        s.close()


@cell(reads=True)
def raw_packets():
    import socket

    for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):
        try:
            socket.socket(family, kind, 1)
            print("FOUND")
        except OSError as error:
            print(error)

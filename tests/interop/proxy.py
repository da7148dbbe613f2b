"""A CONNECT proxy for one test: it connects one name to a port on this machine, and refuses any other.

    proxy.py NAME:PORT LOCAL_PORT

Prints its own port. It ends when its parent process has ended, or after two minutes without a client.
"""

import os
import selectors
import socket
import sys
import threading
import time

IDLE = 120
name, local = sys.argv[1], int(sys.argv[2])
parent = os.getppid()
last = time.monotonic()


def pump(one, other):
    """Copies bytes in both directions until one side closes."""
    ways = {one: other, other: one}
    with selectors.DefaultSelector() as selector:
        for side in ways:
            selector.register(side, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)
                if not data:
                    return
                ways[key.fileobj].sendall(data)


def serve(client):
    with client:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        if head.split(b"\r\n", 1)[0].split()[:2] != [b"CONNECT", name.encode()]:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", local)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pump(client, server)


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(0.5)
    while os.getppid() == parent and time.monotonic() - last < IDLE:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        last = time.monotonic()
        threading.Thread(target=serve, args=[client], daemon=True).start()

"""Forwards each connection to ADDRESS:PORT to a port of 127.0.0.1. The address can be of IPv4 or IPv6.

    forward.py ADDRESS:PORT LOCAL_PORT

Prints a line when it listens. It ends when its parent process has ended.
"""

import os
import socket
import sys
import threading

address, port = sys.argv[1].rsplit(":", 1)
local = int(sys.argv[2])
parent = os.getppid()


def copy(source, target):
    """Copies bytes until `source` ends, and then ends `target`."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    with client, socket.create_connection(("127.0.0.1", local)) as server:
        back = threading.Thread(target=copy, args=[server, client], daemon=True)
        back.start()
        copy(client, server)
        back.join()


family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.create_server((address, int(port)), family=family) as listener:
    print("ready", flush=True)
    listener.settimeout(0.5)
    while os.getppid() == parent:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        client.settimeout(None)
        threading.Thread(target=serve, args=[client], daemon=True).start()

"""Takes every request, and prints its method, path and body. The first line is the server's own URL.

Ends when its parent process has ended.
"""

import http.server
import os
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        print(self.command, self.path, body.decode(), flush=True)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body or b'"space"')

    do_GET = do_PUT = answer

    def log_message(self, *_):
        pass


def end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

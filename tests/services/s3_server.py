"""Runs moto's S3 on the loopback as a process of its own and writes its address to stdout: ``python s3_server.py``."""

import logging
import sys
import threading

from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    # ends with the test run, however that ends: its end of this pipe closes
    threading.Thread(target=sys.stdin.read).start()

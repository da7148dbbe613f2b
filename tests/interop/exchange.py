"""Signs with the Python SDK's token exchange for some seconds, and stores and reads an object.

    exchange.py DIR URL SECONDS FILE NAME

The JWT is read from its file at each exchange, as an application would do.
"""

import sys
import time

import oci
from oci.auth.signers import TokenExchangeSigner

folder, url, seconds, path, name = sys.argv[1:]


def text(file):
    with open(f"{folder}/{file}") as opened:
        return opened.read().strip()


signer = TokenExchangeSigner(
    lambda: text("exchange/jwt"), url, "ocipipe-local-client", text("exchange/client-secret")
)
client = oci.object_storage.ObjectStorageClient({}, signer=signer, service_endpoint=url)
namespace = client.get_namespace().data
uploads = oci.object_storage.UploadManager(client)
uploads.upload_file(namespace, "demo", name, path, part_size=10 * 1024 * 1024)
with open(path, "rb") as original:
    if client.get_object(namespace, "demo", name).data.content != original.read():
        sys.exit("the object differs")
end = time.monotonic() + float(seconds)
refused = 0
while time.monotonic() < end:
    try:
        client.head_object(namespace, "demo", name)
        refused = 0
    except oci.exceptions.ServiceError as error:
        # The SDK uses a token for up to 1 s after its end, and does not renew it for a 401.
        refused += 1
        if error.status != 401 or refused > 8:
            raise
    time.sleep(0.2)

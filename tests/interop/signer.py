"""Signs requests with the official SDK's signer: reads one JSON object per line, prints one header per line."""

import json
import sys

from oci._vendor import requests
from oci.auth.signers import SecurityTokenSigner
from oci.signer import Signer, load_private_key

given = json.loads(sys.stdin.readline())
by_key = Signer(
    given["tenancy"], given["user"], given["fingerprint"],
    private_key_file_location=None, private_key_content=given["key"],
)
by_token = SecurityTokenSigner(given["token"], load_private_key(given["key"], None))

for line in sys.stdin:
    item = json.loads(line)
    request = requests.Request(item["method"], item["url"], data=item["body"]).prepare()
    request.headers.clear()
    request.headers["date"] = item["date"]
    signer = by_token if item["by_token"] else by_key
    signed = signer(request, enforce_content_headers=item["body"] is not None)
    print(signed.headers["authorization"])

"""A test of a Python program that stores objects in OCI, against `ocipipe serve` in place of the cloud.

Put the program under test in the place of `store`. Needs ocipipe (or its path in the variable OCIPIPE)
and the package `oci`.

    python3 -m unittest test_with_serve.py
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import oci

# The first two attempts of PutObject are answered with 503.
FAULTS = {"faults": [{
    "operation": "PutObject", "when": {"first": 2}, "action": {"refuse": {"status": 503}},
}]}


def store(config, url, name, data):
    """The program under test."""
    client = oci.object_storage.ObjectStorageClient(
        config, service_endpoint=url, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY)
    namespace = client.get_namespace().data
    client.put_object(namespace, "demo", name, data)
    return client.get_object(namespace, "demo", name).data.content


class StoreTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        faults = self.dir / "faults.json"
        faults.write_text(json.dumps(FAULTS))
        # The variable makes the server write each request to requests.jsonl.
        self.server = subprocess.Popen(
            [os.environ.get("OCIPIPE", "ocipipe"), "serve", "--dir", self.dir / "store", "--faults", faults],
            env={**os.environ, "OCIPIPE_SERVE_LOG": "1"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop)
        # The one line on stdout is the URL. When it can be read, the server accepts connections, and its
        # config file and keys are complete. End of file in place of it: the server has ended.
        self.url = self.server.stdout.readline().strip()
        self.assertTrue(self.url, "the server did not start")

    def stop(self):
        self.server.terminate()
        self.server.wait()
        self.server.stdout.close()

    def requests(self, operation):
        lines = (self.dir / "store/requests.jsonl").read_text().splitlines()
        return [record for record in map(json.loads, lines) if record["operation"] == operation]

    def test_an_object_is_stored_although_the_service_is_busy(self):
        config = oci.config.from_file(str(self.dir / "store/config"))
        self.assertEqual(store(config, self.url, "greeting", b"hello"), b"hello")
        self.assertEqual([put["status"] for put in self.requests("PutObject")], [503, 503, 200])


if __name__ == "__main__":
    unittest.main()

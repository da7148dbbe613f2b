"""Every option of `oci os object put` and `get`, from the OCI CLI's own list, with both clients.

    cli_options.py OCIPIPE URL STORE TABLE [WORD]

Each case runs the OCI CLI and ocipipe with the same words, variables and files against the store at URL, whose
folder is STORE. What they have stored or read must be the same: bytes, metadata, content headers, tier,
encryption, and whether an object that exists was replaced. Every other difference is a row of the page TABLE,
and every row is seen. An option of a later OCI CLI without a case here fails.

The OCI CLI is loaded once; each of its runs is a fork of this process. With WORD only the command lines with
this text are run, and the table is not checked for rows without a difference.
"""

import base64
import hashlib
import os
import subprocess
import sys
import tempfile
import time

# The OCI CLI changes the arguments when it is imported.
OCIPIPE, URL, STORE, TABLE = sys.argv[1:5]
WORD = sys.argv[5] if len(sys.argv) > 5 else ""

import oci
from oci_cli.cli import cli
from services.object_storage.src.oci_cli_object_storage import objectstorage_cli_extended as commands

CONFIG = os.path.join(STORE, "config")
NAMESPACE = "axlocalstore"
# The bucket of each client.
BUCKETS = {"oci": "demo", "ocipipe": "backups"}
GLOBAL = {"--config-file": CONFIG, "--profile": "API_KEY", "--auth": "api_key", "--endpoint": URL}
HEADERS = [
    "content-type", "content-language", "content-encoding", "content-disposition", "cache-control",
    "storage-tier", "opc-sse-kms-key-id", "opc-sse-customer-key-sha256",
]
CONTENT = b"one line of text, and another\n" * 37
OLD = b"the object that stood there before"


def digest(algorithm, content=CONTENT):
    if algorithm == "crc32c":
        crc = 0xFFFFFFFF
        for byte in content:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


os.chdir(tempfile.mkdtemp(dir=os.getcwd()))
KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
CUSTOMER_KEY = {"opc_sse_customer_algorithm": "AES256", "opc_sse_customer_key": KEY,
                "opc_sse_customer_key_sha256": digest("sha256", base64.b64decode(KEY))}
for path, content in [("text.txt", CONTENT), ("key", KEY.encode()), ("empty", b"")]:
    with open(path, "wb") as file:
        file.write(content)
with open("long.bin", "wb") as file:
    file.write(os.urandom(11 << 20))

profile = oci.config.from_file(CONFIG, "API_KEY")
service = oci.object_storage.ObjectStorageClient(profile, service_endpoint=URL)


def run_oci(words, stdin, env):
    """Forks, and runs the OCI CLI in the child."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        for fd, path, flags in [
            (0, stdin, os.O_RDONLY),
            (1, "oci.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, "oci.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ]:
            os.dup2(os.open(path, flags, 0o600), fd)
        os.environ.update(env)
        sys.argv = ["oci"] + words
        try:
            cli.main(args=words, prog_name="oci")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def run_ocipipe(words, stdin, env):
    with open(stdin, "rb") as given, open("ocipipe.out", "wb") as out, open("ocipipe.err", "wb") as err:
        environment = {**os.environ, **env}
        return subprocess.run([OCIPIPE] + words, stdin=given, stdout=out, stderr=err, env=environment,
                              timeout=60).returncode


RUN = {"oci": run_oci, "ocipipe": run_ocipipe}
FIRST_WORDS = {("oci", "put"): ["os", "object", "put"], ("oci", "get"): ["os", "object", "get"],
               ("ocipipe", "put"): ["put"], ("ocipipe", "get"): ["get"]}


def stored(client, name, key, digests):
    """The object as the Python SDK reads it; None if there is none."""
    headers = None
    for options in [CUSTOMER_KEY, {}] if key else [{}]:
        try:
            headers = service.head_object(NAMESPACE, BUCKETS[client], name, **options).headers
            break
        except oci.exceptions.ServiceError as error:
            if error.status == 404:
                return {"object": None}
    assert headers, f"the object of {client} cannot be read"
    found = {header: headers[header] for header in HEADERS + digests if header in headers}
    found.update({header: value for header, value in headers.items() if header.startswith("opc-meta-")})
    if headers.get("archival-state") is None:
        response = service.get_object(NAMESPACE, BUCKETS[client], name, **options)
        body = response.data.raw.read(decode_content=False)
        found["object"] = hashlib.sha256(body).hexdigest()
    return found


class Case:
    """One command line, and what the clients may do differently: a row of the table."""

    def __init__(self, command, words, row=None, stdin=None, exists=False, env={}, without=(), digests=(),
                 name="a name+\u00fc.txt"):
        self.command, self.words, self.row, self.stdin = command, words, row, stdin
        self.exists, self.env, self.without, self.digests = exists, env, without, list(digests)
        self.name = name

    def label(self):
        source = " < " + self.stdin if self.stdin else ""
        variables = "".join(f"{name}={value} " for name, value in self.env.items())
        exists = ", object exists" if self.exists else ""
        return f"{variables}{self.command} {' '.join(self.words)}{source}{exists}"

    def run(self, client):
        """What the client did, as values to compare."""
        bucket = BUCKETS[client]
        key = "--encryption-key-file" in self.words
        etag = None
        if self.exists or self.command == "get":
            content = CONTENT if self.command == "get" else OLD
            options = CUSTOMER_KEY if key and self.command == "get" else {}
            etag = service.put_object(NAMESPACE, bucket, self.name, content, **options).headers["etag"]
        else:
            try:
                service.delete_object(NAMESPACE, bucket, self.name)
            except oci.exceptions.ServiceError:
                pass
        version = None
        if any("VERSION" in word for word in self.words):
            version = service.head_object(NAMESPACE, bucket, self.name).headers["version-id"]
        place = {"--bucket-name": bucket, "--namespace": NAMESPACE, "--name": self.name}
        default = {"--file": "-" if self.stdin else "text.txt"} if self.command == "put" else {"--file": "-"}
        words = FIRST_WORDS[client, self.command] + [
            word.replace("ETAG", etag or "").replace("VERSION", version or "").replace("BUCKET", bucket)
            for word in self.words
        ]
        for option, value in {**place, **default, **GLOBAL}.items():
            if option not in self.words and option not in self.without:
                words += [option, value]
        code = RUN[client](words, self.stdin or os.devnull, self.env)
        result = {"exit": "0" if code == 0 else "not 0"}
        if self.command == "get":
            out = "out.bin" if "out.bin" in self.words else f"{client}.out"
            with open(out, "rb") as file:
                result["read"] = hashlib.sha256(file.read()).hexdigest() if code == 0 else None
        else:
            result.update(stored(client, self.name, key, self.digests))
        return result

    def differences(self):
        both = [self.run(client) for client in ("oci", "ocipipe")]
        keys = sorted(set(both[0]) | set(both[1]))
        return {key: tuple(result.get(key) for result in both) for key in keys
                if both[0].get(key) != both[1].get(key)}


# The values of each option of `put`, in the order of the OCI CLI's list.
def put_cases():
    plain = {
        "--content-type": ["text/x-log", "auto"], "--content-language": ["en"], "--content-encoding": ["gzip"],
        "--content-disposition": ['attachment; filename="a b.txt"'], "--cache-control": ["max-age=5"],
        "--metadata": ['{"Key1":"value 1","key-2":"2"}', "{}"],
        "--storage-tier": ["Standard", "InfrequentAccess", "Archive", "archive"],
        "--opc-sse-kms-key-id": ["ocid1.key.oc1..x"], "--parallel-upload-count": ["3"],
        "--namespace": [NAMESPACE], "--namespace-name": [NAMESPACE], "-ns": [NAMESPACE],
        "--disable-parallel-uploads": [None], "--force": [None],
    }
    for option, values in plain.items():
        for value in values:
            words = [option] if value is None else [option, value]
            without = ["--namespace"] if option in ("--namespace-name", "-ns") else []
            yield Case("put", words, without=without)
            if option.startswith(("--content", "--cache", "--meta", "--storage", "--force")):
                yield Case("put", words, stdin="text.txt")
    yield Case("put", [])
    yield Case("put", [], stdin="text.txt")
    yield Case("put", ["--bucket-name", "BUCKET"])
    yield Case("put", ["-bn", "BUCKET"], without=["--bucket-name"])
    yield Case("put", ["--file", "long.bin", "--part-size", "10"])
    yield Case("put", ["--part-size", "10"], stdin="long.bin")
    yield Case("put", ["--file", "text.txt"], without=["--name"], name="text.txt")
    yield Case("put", ["--file", "long.bin", "--name", "a name+\u00fc.txt"])
    yield Case("put", ["--file", "empty"], row="an empty stream")
    yield Case("put", ["--verify-checksum"])
    yield Case("put", ["--verify-checksum"], stdin="text.txt", row="`--verify-checksum` from stdin")
    yield Case("put", ["--no-multipart"])
    yield Case("put", ["--no-multipart"], stdin="text.txt", row="`--no-multipart` from stdin")
    yield Case("put", ["--encryption-key-file", "key"])
    yield Case("put", ["--encryption-key-file", "key"], stdin="text.txt",
               row="`--encryption-key-file` from stdin")
    for option, algorithm in [("--content-md5", "md5"), ("--opc-content-crc32c", "crc32c"),
                              ("--opc-content-sha256", "sha256"), ("--opc-content-sha384", "sha384")]:
        yield Case("put", [option, digest(algorithm)])
        yield Case("put", [option, digest(algorithm, OLD)])
        yield Case("put", ["--file", "long.bin", "--part-size", "10", option, digest(algorithm)],
                   row="a digest of the whole and a stream of several parts")
    for algorithm in ["CRC32C", "SHA256", "SHA384"]:
        yield Case("put", ["--opc-checksum-algorithm", algorithm],
                   digests=[f"opc-content-{algorithm.lower()}"])
        yield Case("put", ["--file", "long.bin", "--part-size", "10", "--opc-checksum-algorithm", algorithm],
                   digests=["opc-content-crc32c", f"opc-multipart-{algorithm.lower()}"])
    # An object that exists.
    yield Case("put", [], exists=True)
    yield Case("put", ["--force"], exists=True)
    yield Case("put", ["--no-overwrite"])
    yield Case("put", ["--no-overwrite"], exists=True, row="`--no-overwrite`, and the object exists")
    yield Case("put", ["--if-match", "ETAG", "--force"], exists=True)
    yield Case("put", ["--if-match", "another", "--force"], exists=True)
    yield Case("put", ["--if-match", "ETAG"], exists=True, row="`--if-match` without `--force`")
    yield Case("put", ["--if-match", "another"])
    yield Case("put", ["--force", "--no-overwrite"], row="`--force` with `--no-overwrite`")


def get_cases():
    yield Case("get", [])
    yield Case("get", ["--file", "out.bin"])
    for option in ["--namespace", "--namespace-name", "-ns"]:
        yield Case("get", [option, NAMESPACE], without=["--namespace"])
    for option in ["--bucket-name", "-bn"]:
        yield Case("get", [option, "BUCKET"], without=["--bucket-name"])
    yield Case("get", ["--name", "a name+\u00fc.txt"])
    yield Case("get", ["--version-id", "VERSION"])
    yield Case("get", ["--if-match", "ETAG"])
    yield Case("get", ["--if-match", "another"])
    for value in ["bytes=5-9", "bytes=-7", "bytes=20-", "bytes=5000-6000"]:
        yield Case("get", ["--range", value])
    yield Case("get", ["--part-size", "128"])
    yield Case("get", ["--parallel-download-count", "2"])
    yield Case("get", ["--no-multipart"])
    yield Case("get", ["--encryption-key-file", "key"])


def global_cases():
    without = lambda option: [option]
    for option in ["--opc-request-id", "--opc-client-request-id", "--request-id"]:
        yield Case("put", [option, "trace-1"])
    for option in ["--cli-rc-file", "--defaults-file"]:
        rc("plain", "[API_KEY]\ncontent-type = text/x-rc\n")
        yield Case("put", [option, "plain"])
    yield Case("put", ["--region", "eu-frankfurt-1"])
    for words in [["--connection-timeout", "5"], ["--read-timeout", "5"], ["--output", "json"], ["--no-retry"],
                  ["--max-retries", "2"], ["--debug"], ["-d"], ["--cert-bundle", "/etc/ssl/certs/ca-certificates.crt"]]:
        yield Case("put", words)
    yield Case("put", ["--auth", "security_token", "--profile", "SESSION"])
    yield Case("put", ["--auth", "kerberos"])
    yield Case("put", ["--proxy", "http://127.0.0.1:9"], row="`--proxy` and a store on this machine")
    yield Case("put", ["--output", "table"], row="`--output table`")
    yield Case("put", ["--federation-endpoint", URL])
    for option in ["--realm-specific-endpoint", "--enable-dual-stack"]:
        yield Case("put", [option], row="`--endpoint` with `--realm-specific-endpoint` or `--enable-dual-stack`")
    # The variables in place of the options.
    for option, variable in [("--config-file", "OCI_CLI_CONFIG_FILE"), ("--profile", "OCI_CLI_PROFILE"),
                             ("--auth", "OCI_CLI_AUTH"), ("--endpoint", "OCI_CLI_ENDPOINT")]:
        yield Case("put", [], env={variable: GLOBAL[option]}, without=without(option))
    yield Case("put", [], env={"OCI_CLI_RC_FILE": "plain"})
    yield Case("put", [], env={"OCI_CLI_REGION": "eu-frankfurt-1"})
    yield Case("put", [], env={"OCI_CLI_AUTH": "kerberos"}, without=["--auth"])
    # Keys of the rc file: a scoped one before a plain one.
    rc("scoped", "[API_KEY]\ncontent-type = text/plain-key\nos.object.put.content-type = text/scoped\n"
                 "os.object.put.cache-control = no-store\nos.object.storage-tier = InfrequentAccess\n"
                 "os.content-language = de\nos.object.get.content-encoding = gzip\nos.object.put.metadata = {\"a\": \"b\"}\n"
                 "os.object.put.content-disposition = inline\nos.object.put.part-size = 10\n")
    yield Case("put", ["--cli-rc-file", "scoped"])
    yield Case("put", ["--cli-rc-file", "scoped", "--content-type", "text/given"], stdin="text.txt")
    rc("default", "[OCI_CLI_SETTINGS]\ndefault_profile = API_KEY\n[API_KEY]\nauth = api_key\n"
                  f"endpoint = {URL}\nbucket-name = $CASE_BUCKET\n")
    yield Case("put", ["--cli-rc-file", "default", "-bn", "BUCKET"],
               without=["--profile", "--auth", "--endpoint", "--bucket-name"])
    rc("force", "[API_KEY]\nforce = true\n")
    yield Case("put", ["--cli-rc-file", "force"], exists=True, row="`force = true` in the rc file")
    rc("no", "[API_KEY]\nno-overwrite = true\n")
    yield Case("put", ["--cli-rc-file", "no"])


def rc(name, text):
    with open(name, "w") as file:
        file.write(text)


def rows():
    """The first cells of the table, and those of options that are refused."""
    with open(TABLE) as page:
        cells = [line.split("|")[1:3] for line in page if line.startswith("| ")]
    cells = [[cell.strip() for cell in row] for row in cells if not row[0].strip().startswith(("OCI CLI", "--"))]
    refused = {row[0] for row in cells if row[1].startswith("refused")}
    return {row[0] for row in cells} - refused, refused


def options(command):
    return [param.opts for param in command.params if param.name != "help"]


def covered(cases):
    return {word for case in cases for word in case.words if word.startswith("-") and word != "-"}


def main():
    started, failures, seen = time.monotonic(), [], set()
    known, refused = rows()
    put, get, every = list(put_cases()), list(get_cases()), list(global_cases())
    for command, param_lists, cases in [("put", options(commands.object_put), put),
                                        ("get", options(commands.object_get), get),
                                        ("put", options(cli), every)]:
        used = covered(cases) | set(GLOBAL) | {"--file", "--name", "--version", "-v"}
        for names in param_lists:
            row = f"`{command} {names[-1]}`" if command == "get" and f"`get {names[-1]}`" in refused else f"`{names[-1]}`"
            if row not in refused:
                failures += [f"{command}: no case has {name}" for name in names if name not in used]
                continue
            seen.add(row)
            words = [command, "--bucket-name", "demo", "--name", "x", names[-1]]
            code = run_ocipipe(words + ["x"], os.devnull, {})
            with open("ocipipe.err") as err:
                text = err.read()
            if code != 2 or names[-1] not in text or len(text.strip().splitlines()) < 3:
                failures.append(f"{row} is not refused with a hint, but with {code}: {text}")
    cases = [case for case in put + get + every if WORD in case.label()]
    for case in cases:
        found = case.differences()
        if case.row:
            seen.add(case.row)
            if case.row not in known:
                failures.append(f"the table has no row {case.row}: {case.label()}")
            elif not found:
                failures.append(f"there is no difference any more, but a row {case.row}: {case.label()}")
        elif found:
            text = "".join(open(path, errors="replace").read()[-300:] for path in ("oci.err", "ocipipe.err"))
            failures.append(f"{case.label()}: {found}\n{text}")
    if not WORD:
        failures += [f"no case has the row {row}" for row in sorted((known | refused) - seen)]
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    count, seconds = len(cases), time.monotonic() - started
    print(f"{count} command lines with both clients in {seconds:.0f} s")
    return 1 if failures else 0


sys.exit(main())

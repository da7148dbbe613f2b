# TLS, and the life of a session token in the hands of the OCI CLI.

scenario_oci_tls() {
    local URL=${URL/http:/https:}
    os ns get --cert-bundle "$work/store/ca.pem" >out || fail "over TLS"
    os object put -bn demo --file big --name tls --part-size 10 --force \
        --cert-bundle "$work/store/ca.pem" >out || fail "put over TLS"
    os object get -bn demo --name tls --file back --cert-bundle "$work/store/ca.pem" >out \
        || fail "get over TLS"
    same big back
    refused . os ns get --no-retry
}

# The refresh goes to https://auth.REGION.DOMAIN and nowhere else, so the domain is made ours.
scenario_oci_session_refresh() {
    local before metadata
    before=$(cat store/token)
    metadata=$(printf '{"realmKey":"OC99","realmDomainComponent":"localhost:%s","regionKey":"lts","regionIdentifier":"local-test-1"}' "${URL##*:}")
    OCI_REGION_METADATA=$metadata REQUESTS_CA_BUNDLE=$work/store/ca.pem \
        "$referees/bin/python" -c '
import socket, sys
find = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: find(
    "127.0.0.1" if str(host).endswith("localhost") else host, *rest, **more)
from oci_cli.cli import cli
sys.exit(cli())
' --config-file "$work/store/config" --profile DEFAULT session refresh >out 2>err || fail "refresh"
    [[ $(cat store/token) != "$before" ]] || fail "the token is the same"
    os ns get >out || fail "the new token is not accepted"
    oci session validate --local >out || fail "the new token is not valid"
}

scenario_oci_expired_token() {
    cp -r store expired
    python3 - <<'PYTHON'
import base64, json
# A token that says it is valid, by nobody the server knows.
head, body, signature = open("expired/token").read().split(".")
claims = json.loads(base64.urlsafe_b64decode(body + "=="))
claims["exp"] += 1000
body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
open("expired/token", "w").write(".".join([head, body, signature]))
PYTHON
    sed -i "s|$work/store/token|$work/expired/token|" expired/config
    refused NotAuthenticated "$referees/bin/oci" --config-file expired/config --auth security_token \
        --endpoint "$URL" os ns get
}

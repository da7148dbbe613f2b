# Real proxies: squid (CONNECT, passwords, TLS to the proxy itself) and tinyproxy. ocipipe reaches the service
# over TLS at https://127.0.0.1, and the auth service at https://localhost, so that a proxy's log names both.

SQUID_USER=me SQUID_PASSWORD='s3@cret' SQUID_IN_URL='me:s3%40cret'

listening() { # listening PORT PID LOG: waits until the process listens
    local tries=0
    until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        kill -0 "$2" 2>/dev/null || fail "the proxy does not start: $(tail -n 5 "$3")"
        (( ++tries < 200 )) || fail "the proxy does not listen: $(tail -n 5 "$3")"
        sleep 0.05
    done
}

free_port() { # prints a port of 127.0.0.1 that is free now
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Makes proxies/proxy.pem, which proxies/ca.pem signs, and proxies/all.pem for service and proxy.
proxy_certificate() {
    (
        cd proxies
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=authority of proxies'
        openssl req -newkey rsa:2048 -nodes -keyout proxy.key -out proxy.csr -subj /CN=proxy
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >extensions
        openssl x509 -req -in proxy.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out proxy.pem
    ) 2>openssl.log || fail "openssl: $(<openssl.log)"
    cat "$work/store/ca.pem" proxies/ca.pem >proxies/all.pem
}

# Starts squid: http at SQUID, https at SQUID_TLS. It refuses 127.0.0.9 with its page of status 403.
squid_pid=
start_squid() {
    [[ -z $squid_pid ]] || return 0
    mkdir -p proxies/squid
    proxy_certificate
    SQUID=$(free_port) SQUID_TLS=$(free_port)
    echo "$SQUID_USER:$(openssl passwd -apr1 "$SQUID_PASSWORD")" >proxies/users
    cat >proxies/squid.conf <<CONFIG
http_port 127.0.0.1:$SQUID
https_port 127.0.0.1:$SQUID_TLS tls-cert=$work/proxies/proxy.pem tls-key=$work/proxies/proxy.key
auth_param basic program $(echo /usr/lib*/squid/basic_ncsa_auth) $work/proxies/users
auth_param basic children 1
acl known proxy_auth REQUIRED
acl forbidden dst 127.0.0.9
http_access deny forbidden
http_access allow known
http_access deny all
cache deny all
access_log stdio:$work/proxies/squid/access.log
cache_log $work/proxies/squid/cache.log
coredump_dir $work/proxies/squid
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
max_filedescriptors 1024
CONFIG
    if (( EUID == 0 )); then
        echo 'cache_effective_user proxy' >>proxies/squid.conf
        chown -R proxy proxies
        chmod go+x "$work"
    fi
    # The name is that of its shared memory, which another squid of this machine may have.
    squid -N -n "interop$$" -f "$work/proxies/squid.conf" >proxies/squid.out 2>&1 &
    squid_pid=$!
    others+=("$squid_pid")
    listening "$SQUID" "$squid_pid" proxies/squid.out
}

tinyproxy_config() { # tinyproxy_config PORT TIMEOUT: writes proxies/tinyproxy.conf
    mkdir -p proxies
    cat >proxies/tinyproxy.conf <<CONFIG
Port $1
Listen 127.0.0.1
Timeout $2
MaxClients 100
LogLevel Connect
LogFile "$work/proxies/tinyproxy.log"
CONFIG
    : >proxies/tinyproxy.log
    chmod a+w proxies/tinyproxy.log
}

# Runs ocipipe without the caller's NO_PROXY, with the variables that are given, under the words of `limit`.
limit=()
proxied() { # proxied [NAME=VALUE]... COMMAND [ARGUMENT]...
    local variables=() command
    while [[ $1 == [A-Za-z_]*=* ]]; do variables+=("$1"); shift; done
    command=$1
    shift
    env -u NO_PROXY "${variables[@]}" "${limit[@]}" "$OCIPIPE" "$command" --config-file "$work/store/config" --profile SESSION \
        --endpoint "${URL/http:/https:}" --auth-endpoint "https://localhost:${URL##*:}" "$@" 2>err
}

# Fails unless the command ends with this code, within 20 s, and shows neither password nor the word policy.
ends_with() { # ends_with CODE TEXT COMMAND...
    local expected=$1 text=$2 code=0 from=$SECONDS
    shift 2
    "$@" >out || code=$?
    is "$code" "$expected"
    (( SECONDS - from < 20 )) || fail "takes $((SECONDS - from)) s: $*"
    grep -q -- "$text" err || fail "stderr has no '$text'"
    if grep -qiE 's3(@|%40)cret|hunter2|polic|permission' out err; then fail "a password or a policy is shown: $*"; fi
}

# squid logs a tunnel when it is closed.
a_tunnel_more() { # a_tunnel_more HOST COUNT: waits until there are more tunnels to the host
    local tries=0
    until (( $(tunnels_to "$1") > $2 )); do
        (( ++tries < 100 )) || return 1
        sleep 0.1
    done
}

tunnels_to() { grep -c "CONNECT $1:${URL##*:} " proxies/squid/access.log || true; }

scenario_proxies_of_squid() {
    local proxy bundle from
    start_squid
    for proxy in "http://$SQUID_IN_URL@127.0.0.1:$SQUID" "https://$SQUID_IN_URL@127.0.0.1:$SQUID_TLS"; do
        for bundle in REQUESTS_CA_BUNDLE SSL_CERT_FILE OCI_CLI_CERT_BUNDLE; do
            from=$(tunnels_to 127.0.0.1)
            proxied HTTPS_PROXY="$proxy" $bundle=proxies/all.pem put oci://demo/proxied --part-size 10 --force \
                --debug <big >put.json || fail "put through $proxy"
            a_tunnel_more 127.0.0.1 "$from" || fail "$proxy was not used"
            if grep -qE 's3(@|%40)cret|hunter2' err; then fail "the password is shown"; fi
        done
        proxied https_proxy="$proxy" get oci://demo/proxied --cert-bundle proxies/all.pem >back || fail "get"
        same big back
        # The refresh of the token goes the same way.
        from=$(tunnels_to localhost)
        env -u NO_PROXY HTTPS_PROXY="$proxy" REQUESTS_CA_BUNDLE=proxies/all.pem "$OCIPIPE" session refresh \
            --config-file "$work/store/config" --profile SESSION --auth-endpoint "https://localhost:${URL##*:}" \
            >out 2>err || fail "refresh of the token"
        a_tunnel_more localhost "$from" || fail "the refresh did not go through $proxy"
        is "$(tunnels_to localhost)" $((from + 1))
        # The service has the authority of store/ca.pem, and the https proxy that of proxies/ca.pem.
        if [[ $proxy == https:* ]]; then
            ends_with 4 "the certificate of the proxy 127.0.0.1:$SQUID_TLS (HTTPS_PROXY) is not trusted" \
                proxied HTTPS_PROXY="$proxy" SSL_CERT_FILE=store/ca.pem put oci://demo/x --file small
            grep -q 'the authority of the proxy with --cert-bundle' err || fail "no hint"
            ends_with 4 'the certificate is not trusted' \
                proxied HTTPS_PROXY="$proxy" SSL_CERT_FILE=proxies/ca.pem put oci://demo/x --file small
        else
            ends_with 4 'the certificate is not trusted' proxied HTTPS_PROXY="$proxy" put oci://demo/x --file small
        fi
        grep -q -- '--cert-bundle FILE' err || fail "no hint"
        proxy=${proxy/s3%40cret/hunter2}
        ends_with 4 'refuses user and password (407)' \
            proxied HTTPS_PROXY="$proxy" SSL_CERT_FILE=proxies/all.pem put oci://demo/x --file small
        grep -q 'put the user and the password of the proxy into its URL' err || fail "no hint"
        ends_with 4 'wants a user and a password (407)' \
            proxied HTTPS_PROXY="${proxy/me:hunter2@/}" SSL_CERT_FILE=proxies/all.pem put oci://demo/x --file small
    done
    # A page of status 403 is a rule of the proxy and no policy.
    proxy=http://$SQUID_IN_URL@127.0.0.1:$SQUID
    local URL=${URL/127.0.0.1/127.0.0.9} limit=()
    ends_with 4 "forbids the connection to 127.0.0.9:${URL##*:} (403)" \
        proxied HTTPS_PROXY="$proxy" SSL_CERT_FILE=proxies/all.pem put oci://demo/x --file small
    grep -q 'the rules of the proxy must allow CONNECT .* name it in NO_PROXY' err || fail "no hint"
    # The page of status 503 for a port on which nothing listens. The run would try again for 60 s.
    URL=https://127.0.0.1:$(free_port) limit=(timeout --preserve-status --signal TERM 2)
    ends_with 143 "the proxy 127.0.0.1:$SQUID (HTTPS_PROXY) made no connection and answered 503; trying again" \
        proxied HTTPS_PROXY="$proxy" SSL_CERT_FILE=proxies/all.pem put oci://demo/x --file small
}

# through_a_tunnel WHAT ARGUMENT...: the command succeeds, and the proxy opens a tunnel for it.
through_a_tunnel() {
    local what=$1 from
    shift
    from=$(tunnels_to 127.0.0.1)
    proxied "$@" >out || fail "$what"
    a_tunnel_more 127.0.0.1 "$from" || fail "$what: nothing went through the proxy"
}

# What names the proxy, and what beats what. The wrong one has a wrong password, which ends the run at once.
scenario_proxies_by_option_variable_and_file() {
    local right wrong
    start_squid
    export SSL_CERT_FILE=$work/proxies/all.pem
    right=http://$SQUID_IN_URL@127.0.0.1:$SQUID wrong=http://me:hunter2@127.0.0.1:$SQUID
    printf '[OCI_CLI_SETTINGS]\nproxy = %s\n' "$right" >proxies/rc
    local through=(put oci://demo/named --force --file small)
    through_a_tunnel --proxy HTTPS_PROXY="$wrong" NO_PROXY='*' "${through[@]}" --proxy "$right"
    through_a_tunnel https_proxy https_proxy="$right" HTTPS_PROXY="$wrong" ALL_PROXY="$wrong" "${through[@]}"
    through_a_tunnel ALL_PROXY ALL_PROXY="$right" HTTP_PROXY="$wrong" "${through[@]}"
    through_a_tunnel "the file of defaults" OCI_CLI_RC_FILE=proxies/rc NO_PROXY='*' "${through[@]}"
    ends_with 4 '(407)' proxied OCI_CLI_RC_FILE=proxies/rc HTTPS_PROXY="$wrong" "${through[@]}"
    unset SSL_CERT_FILE
}

# NO_PROXY, compared with the function that decides in the OCI CLI. A row that is marked differs, as
# docs/configuration.md states.
scenario_proxies_and_no_proxy() {
    start_squid
    cat >no_proxy.txt <<'ROWS'
same 127.0.0.1 *
same localhost *
same 127.0.0.1 127.0.0.1
same 127.0.0.1 127.0.0.0/8
same 127.0.0.1 127.0.0.0/30
same 127.0.0.1 10.0.0.0/8,192.168.0.0/16
same 127.0.0.1 example.com, 127.0.0.1
same 127.0.0.1 127.0.0.2
same localhost localhost
same localhost LocalHost
same localhost .localhost
same localhost .example.com
same localhost localhost:PORT
same localhost localhost:1
same localhost example.com, localhost , x
same localhost 127.0.0.0/8
differs localhost *.localhost
differs localhost calhost
differs localhost example.com localhost
differs localhost example.com,*
differs 127.0.0.1 127.0.0.1:PORT
ROWS
    "$referees/bin/python" - "$OCIPIPE" "$URL" "$work/store" "http://me:hunter2@127.0.0.1:$SQUID" <<'PYTHON' \
        >out 2>err || fail "NO_PROXY: $(<out)"
import os, subprocess, sys
from urllib.parse import urlparse
from oci._vendor.requests.utils import should_bypass_proxies

program, url, store, proxy = sys.argv[1:]
port = str(urlparse(url).port)
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

def bypasses(host, **variables):
    """Whether ocipipe reaches the service at this host without the proxy, whose password is wrong."""
    environment = dict(os.environ, HTTPS_PROXY=proxy, SSL_CERT_FILE=f"{store}/ca.pem", **variables)
    run = subprocess.run(
        [program, "uploads", "list", "-bn", "demo", "--config-file", f"{store}/config", "--profile", "SESSION",
         "--endpoint", f"https://{host}:{port}", "--auth-endpoint", f"https://{host}:{port}"],
        env=environment, capture_output=True, text=True, timeout=30)
    if run.returncode == 0:
        return True
    assert run.returncode == 4 and "(407)" in run.stderr, run.stderr
    return False

def reference(host, **variables):
    os.environ.update(variables)
    answer = should_bypass_proxies(f"https://{host}:{port}/n", no_proxy=None)
    for name in variables:
        del os.environ[name]
    return answer

wrong = []
for row in open("no_proxy.txt"):
    kind, host, value = row.rstrip("\n").replace("PORT", port).split(" ", 2)
    ours, theirs = bypasses(host, NO_PROXY=value), reference(host, NO_PROXY=value)
    if (ours == theirs) != (kind == "same"):
        wrong.append((host, value, ours, theirs))
for variables in [
    {"no_proxy": "localhost", "NO_PROXY": "example.com"},
    {"no_proxy": "example.com", "NO_PROXY": "localhost"},
    {"no_proxy": "", "NO_PROXY": "localhost"},
    {"no_proxy": "*"},
]:
    ours, theirs = bypasses("localhost", **variables), reference("localhost", **variables)
    if ours != theirs:
        wrong.append((variables, ours, theirs))
if wrong:
    sys.exit(f"{wrong}")
PYTHON
}

# A proxy that closes idle tunnels after 1 s, and one that is killed in the middle of an upload.
scenario_proxies_that_close_tunnels() {
    local port proxy upload
    port=$(free_port)
    tinyproxy_config "$port" 1
    tinyproxy -d -c proxies/tinyproxy.conf >proxies/tinyproxy.out 2>&1 &
    proxy=$!
    others+=("$proxy")
    listening "$port" "$proxy" proxies/tinyproxy.out
    local through=(HTTPS_PROXY="http://127.0.0.1:$port" SSL_CERT_FILE="$work/store/ca.pem")
    { head -c 15000000 big; sleep 2.5; tail -c +15000001 big; } |
        proxied "${through[@]}" put oci://demo/idle --part-size 10 --force >put.json || fail "idle tunnels"
    "$OCIPIPE" get oci://demo/idle --config-file store/config --profile SESSION --endpoint "$URL" >back 2>err \
        || fail "get"
    same big back
    mkfifo proxies/stream
    proxied "${through[@]}" put oci://demo/killed --part-size 10 --force --debug <proxies/stream >put.json &
    upload=$!
    exec 9>proxies/stream
    head -c 15000000 big >&9
    local tries=0
    until grep -q 'uploadPartNum=1 .*: 200' err; do
        kill -0 "$upload" 2>/dev/null || fail "the upload ended early"
        (( ++tries < 400 )) || fail "no part is stored"
        sleep 0.05
    done
    kill -KILL "$proxy"
    wait "$proxy" 2>/dev/null || true
    tail -c +15000001 big >&9
    exec 9>&-
    tries=0
    until grep -q 'Connection refused' err; do
        kill -0 "$upload" 2>/dev/null || fail "the upload ended with its proxy"
        (( ++tries < 400 )) || fail "the outage is not reported"
        sleep 0.05
    done
    tinyproxy -d -c proxies/tinyproxy.conf >proxies/tinyproxy.out 2>&1 &
    others+=("$!")
    wait "$upload" || fail "an upload whose proxy was started again"
    "$OCIPIPE" get oci://demo/killed --config-file store/config --profile SESSION --endpoint "$URL" >back 2>err \
        || fail "get"
    same big back
}

# The federation of an instance goes through the proxy; the metadata service and the cluster never do.
scenario_proxies_and_principals() {
    local inside folder URL port log=proxies/tinyproxy.log https
    in_namespace || return 0
    port=$(free_port)
    tinyproxy_config "$port" 60
    "${inside[@]}" tinyproxy -d -c "$work/proxies/tinyproxy.conf" >proxies/tinyproxy.out 2>&1 &
    others+=("$!")
    local tries=0
    until "${inside[@]}" bash -c ": </dev/tcp/127.0.0.1/$port" 2>/dev/null; do
        (( ++tries < 100 )) || fail "tinyproxy does not start: $(<proxies/tinyproxy.out)"
        sleep 0.05
    done
    https=https://localhost:${URL##*:}
    local all=(-u NO_PROXY SSL_CERT_FILE="$folder/ca.pem" OCI_CLI_ENDPOINT="${URL/http:/https:}"
        HTTP_PROXY="http://127.0.0.1:$port" http_proxy="http://127.0.0.1:$port"
        HTTPS_PROXY="http://127.0.0.1:$port" ALL_PROXY="http://127.0.0.1:$port")
    ocipipe_as instance_principal -u OCI_METADATA_BASE_URL "${all[@]}" OCI_CLI_FEDERATION_ENDPOINT="$https" \
        put oci://demo/proxied/instance <small >put.json || fail "instance"
    signed_by instance
    grep -q "CONNECT localhost:${URL##*:}" "$log" || fail "the federation did not go through the proxy"
    ocipipe_as oke_workload_identity "${all[@]}" put oci://demo/proxied/pod <small >put.json || fail "pod"
    signed_by workload
    ocipipe_as token_exchange "${all[@]}" OCIPIPE_EXCHANGE_URL="https://localhost:${URL##*:}$(sed -n \
        's|^OCIPIPE_EXCHANGE_URL=http://[^/]*||p' "$folder/env/token_exchange")" \
        put oci://demo/proxied/exchange <small >put.json || fail "exchange"
    (( $(grep -c "CONNECT localhost:${URL##*:}" "$log") >= 2 )) || fail "the exchange did not go through the proxy"
    if grep -E '169\.254|:12250' "$log"; then fail "metadata service or cluster through the proxy"; fi
}

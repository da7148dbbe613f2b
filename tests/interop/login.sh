# Sessions that begin in a browser, and their way between ocipipe and the OCI CLI.

as_home() { # as_home FOLDER COMMAND...: runs a command with this home folder
    local home=$work/$1
    shift
    mkdir -p "$home"
    env HOME="$home" "$@"
}

login() { # login HOME PROFILE: starts a login of ocipipe and prints its address
    rm -f address
    as_home "$1" "$OCIPIPE" session authenticate --profile-name "$2" --region us-ashburn-1 --no-browser \
        --auth-endpoint "$URL" --timeout 60s >address 2>err &
    login=$!
    local tries=0
    until [[ -s address ]]; do
        kill -0 "$login" 2>/dev/null || fail "the login does not start"
        (( ++tries < 400 )) || fail "the login prints no address"
        sleep 0.05
    done
}

# The OCI CLI opens the browser that this variable names.
login_of_oci() { # login_of_oci HOME PROFILE
    cat >browser <<SCRIPT
#!/bin/sh
exec "$referees/bin/python" "$here/browser.py" "$URL" "\$1" >browser.log 2>&1
SCRIPT
    chmod +x browser
    as_home "$1" env BROWSER="$work/browser %s &" "$referees/bin/oci" session authenticate \
        --profile-name "$2" --region us-ashburn-1 >out 2>err || fail "oci session authenticate: $(<browser.log)"
}

lists() { # lists HOME PROFILE: both clients sign with the profile of a home folder
    as_home "$1" "$referees/bin/oci" --profile "$2" --auth security_token --endpoint "$URL" os ns get >out 2>err \
        || fail "the OCI CLI with the profile $2"
    as_home "$1" "$OCIPIPE" put --profile "$2" --endpoint "$URL" --force "oci://demo/login/$2" <small >out 2>err \
        || fail "ocipipe with the profile $2"
}

layout() { # layout HOME PROFILE: the files, modes and keys of a session
    (cd "$work/$1/.oci" && find sessions config -printf '%P %y %m\n' | sed "s/$2/NAME/g" | sort)
    sed -n "/^\[$2\]/,/^\[/p" "$work/$1/.oci/config" | sed -e "s|$work/$1|HOME|; s/$2/NAME/g" \
        -e 's/^fingerprint=.*/fingerprint=/' | grep .
    head -c 27 "$work/$1/.oci/sessions/$2/oci_api_key.pem"
    tail -c 40 "$work/$1/.oci/sessions/$2/oci_api_key.pem" | tail -n 2 | sed 's/^.*-----END/-----END/'
    head -n 1 "$work/$1/.oci/sessions/$2/oci_api_key_public.pem"
}

scenario_login_of_a_real_browser() {
    local browser
    browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    if [[ -z $browser ]]; then
        echo "skipped, because there is no chromium: $scenario"
        return
    fi
    login chromium BROWSER
    # It reaches nothing but this host.
    HOME=$work/browser-home timeout 60 "$browser" --headless --no-sandbox --disable-gpu --no-first-run \
        --disable-dev-shm-usage --disable-background-networking --disable-component-update --disable-sync \
        --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1' \
        --user-data-dir="$work/browser-home/data" --virtual-time-budget=10000 --dump-dom "$(<address)" \
        >dom 2>browser.log &
    local chromium=$!
    others+=("$chromium")
    wait "$login" || fail "the login: $(<dom)"
    wait "$chromium" || fail "chromium: $(<browser.log)"
    grep -q 'You are signed in' dom || fail "the browser shows: $(<dom)"
    lists chromium BROWSER
}

scenario_login_writes_what_the_oci_cli_writes() {
    login ours NAME_1
    "$referees/bin/python" "$here/browser.py" "$URL" "$(<address)" >out 2>browser.log || fail "$(<browser.log)"
    wait "$login" || fail "the login"
    login_of_oci theirs NAME_2
    layout ours NAME_1 >ours.layout
    layout theirs NAME_2 >theirs.layout
    same ours.layout theirs.layout
    as_home ours "$referees/bin/oci" --profile NAME_1 session validate --local >out 2>err || fail "validate"
    lists ours NAME_1
    lists theirs NAME_2
}

scenario_login_archives_go_both_ways() {
    login source OURS
    "$referees/bin/python" "$here/browser.py" "$URL" "$(<address)" >out 2>browser.log || fail "$(<browser.log)"
    wait "$login" || fail "the login"
    as_home source "$OCIPIPE" session export --profile OURS --output-file ours.zip >out 2>err || fail "export"
    is "$(stat -c %a ours.zip)" 600
    as_home to_oci "$referees/bin/oci" session import --session-archive ours.zip >out 2>err \
        || fail "oci session import"
    lists to_oci OURS
    as_home source "$referees/bin/oci" --profile OURS session export --output-file theirs >out 2>err \
        || fail "oci session export"
    as_home to_ours "$OCIPIPE" session import --session-archive theirs.zip >out 2>err || fail "import"
    lists to_ours OURS
    refused 'has a profile OURS already' as_home to_ours "$OCIPIPE" session import --session-archive theirs.zip
}

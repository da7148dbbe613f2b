# The options of the OCI CLI, from its own list, with both clients.

scenario_cli_options() {
    "$referees/bin/python3" "$here/cli_options.py" "$OCIPIPE" "$URL" "$work/store" \
        "$root/docs/oci-cli-differences.md" 2>err || fail "the OCI CLI and ocipipe differ"
}

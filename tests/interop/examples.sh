# The example of a test in Python that docs/local-store.md shows, with the official SDK.

scenario_example_of_a_python_test() {
    OCIPIPE=$OCIPIPE "$referees/bin/python" "$here/../../docs/examples/test_with_serve.py" >out 2>err \
        || fail "the example fails"
    grep -q '^OK$' err || fail "the example ran no test"
}

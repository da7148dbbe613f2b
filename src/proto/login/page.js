
"use strict";
// An error may come in the query instead.
const fragment = location.hash.slice(1) || location.search.slice(1);
const show = text => { document.getElementById("state").textContent = text; };
// The token stays in no history.
history.replaceState(null, "", "/");
if (fragment === "") {
    show("This page waits for the login page to come back to it. Open the address that ocipipe printed.");
} else {
    fetch("/token?" + fragment, { cache: "no-store" }).then(async answer => {
        show(await answer.text());
        document.title = answer.ok ? "ocipipe: signed in" : "ocipipe: not signed in";
    }, () => show("ocipipe does not answer any more. Look at its terminal."));
}

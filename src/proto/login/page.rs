//! The page that the listener of a login serves.
//!
//! Owns its text. The service redirects the browser to this page with the token in the fragment of the
//! address, which no browser sends: the script takes it from there and requests `/token` with it. Must
//! not hold anything of one login. Invariant: the text is the same for each login, and loads nothing.

/// The page, as HTML.
pub const HTML: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>ocipipe: sign in</title>\n",
    "<p id=\"state\">Signing in. This needs JavaScript.</p>\n<script>",
    include_str!("page.js"),
    "</script>\n</html>\n"
);

/// The value of `content-security-policy`: only the script of this page runs, and it reaches only its
/// own origin. The hash is that of the script.
pub const POLICY: &str = "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; \
     script-src 'sha256-WDV7nnznhiIqYkl/sO1Sd/Sj82LOdBCJ0n87c7NrwK0='";

"""Plays the browser at a login of the OCI CLI: opens the address at the local login page.

    browser.py SERVER_URL ADDRESS

The address names the host of a region; its path and query are requested from SERVER_URL.
"""

import sys
import urllib.error
import urllib.parse
import urllib.request


class Redirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


server, address = sys.argv[1:]
parts = urllib.parse.urlsplit(address)
try:
    urllib.request.build_opener(Redirect).open(f"{server}{parts.path}?{parts.query}")
    sys.exit("the login page does not redirect")
except urllib.error.HTTPError as answer:
    page, fragment = answer.headers["location"].split("#")
urllib.request.urlopen(page).read()
urllib.request.urlopen(f"{page}token?{fragment}").read()

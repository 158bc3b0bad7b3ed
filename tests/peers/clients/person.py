"""A person with a browser in small: opens an address, says yes or no where Tollgate asks, signs in at the provider,
and stops where a program of theirs would take over.

As a program: the only argument is a JSON object {"url", "user", "password", "says", "to", "code"}; it prints
{"at", "status", "text", "pages"}: the last address, what was there, and every page on the way.
"""

import html.parser
import http.client
import json
import sys
from urllib.parse import urlencode, urljoin, urlsplit


class Forms(html.parser.HTMLParser):
    """The forms of a page: their action, their method, and their fields and buttons."""

    def __init__(self, text):
        super().__init__()
        self.forms = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.forms.append({"action": attrs.get("action"), "fields": {}, "buttons": []})
        elif tag == "input" and self.forms and attrs.get("name") and attrs.get("type") != "submit":
            self.forms[-1]["fields"][attrs["name"]] = attrs.get("value") or ""
        elif tag in ("button", "input") and self.forms and attrs.get("name"):
            self.forms[-1]["buttons"].append((attrs["name"], attrs.get("value") or ""))


class Person:
    def __init__(self, user, password=None, says="yes", code=None):
        self.user, self.password, self.says, self.code = user, password, says, code
        self.cookies = {}  # by host and port; a real browser ignores the port
        self.pages = []

    def _fetch(self, method, url, body, headers):
        place = urlsplit(url)
        jar = self.cookies.setdefault(place.netloc, {})
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        connection = http.client.HTTPConnection(place.netloc, timeout=60)
        connection.request(method, place.path + ("?" + place.query if place.query else ""), body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            jar[name] = value
        connection.close()
        return answer, text

    def open(self, url, to, form=None):
        """Follows redirects, refreshes and forms until an address that begins with `to`, or nothing leads on."""
        came_from = None
        for _ in range(30):
            if to and url.startswith(to):
                return {"at": url, "status": None, "text": ""}
            headers, body = {}, None
            if form is not None:
                body = urlencode(form)
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                place = urlsplit(came_from or url)
                headers["Origin"] = f"{place.scheme}://{place.netloc}"
                headers["Referer"] = came_from or url
            answer, text = self._fetch("POST" if body is not None else "GET", url, body, headers)
            self.pages.append([answer.status, url.split("?")[0]])
            came_from, form = url, None
            if answer.headers.get("Location"):
                url = urljoin(url, answer.headers["Location"])
            elif answer.headers.get("Refresh"):
                url = urljoin(url, answer.headers["Refresh"].split("url=", 1)[1])
            else:
                following = self._answer(url, answer, text)
                if following is None:
                    return {"at": url, "status": answer.status, "text": text}
                url, form = following
        raise RuntimeError(f"this leads nowhere: {self.pages}")

    def _answer(self, url, answer, text):
        """What the person does on a page: the next address and the form sent there."""
        if answer.headers.get_content_type() == "application/json" and "sign_in" in text:
            return f"{url}?{urlencode({'user': self.user})}", None  # tests/peers/idp/idp.mjs
        for one in Forms(text).forms:
            fields, buttons = one["fields"], dict(one["buttons"])
            to = urljoin(url, one["action"]) if one["action"] else url
            if "deny" in buttons and "at" in buttons:  # Tollgate asks
                name = "deny" if self.says == "no" else "at"
                return to, {**fields, name: buttons[name]}
            if "user_code" in fields and self.code:
                code, self.code = self.code, None
                return to, {**fields, "user_code": code}
            if "login" in fields:
                return to, {**fields, "login": self.user}
            if "password" in fields and self.password:
                return to, {**fields, "password": self.password}
            if ("answer", "accept") in one["buttons"]:  # the provider asks
                return to, {**fields, "answer": "accept"}
        return None


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    person = Person(spec["user"], spec.get("password"), spec.get("says", "yes"), spec.get("code"))
    ended = person.open(spec["url"], spec.get("to"))
    print(json.dumps({**ended, "pages": person.pages}))

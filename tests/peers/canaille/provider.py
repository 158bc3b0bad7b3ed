"""Canaille, an independent OpenID provider (Flask and Authlib), on a free loopback port, with everything in memory.

The only argument is the redirect URI of its one client, `tollgate`. Prints one line, {"ready": <issuer>}, when it
listens; ends when its standard input ends. What is under /test/ is for the tests alone:

  /test/group?user=&group=[&out=1]   puts a person into a group, or takes them out
  /test/lock?user=                   the account is locked from here on
"""

import datetime
import json
import logging
import secrets
import sys
import threading

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from flask import jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

SECRET = "the secret/of+this client"
SCOPE = ["openid", "profile", "groups", "offline_access"]


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def fill(redirect):
    people = {}
    for name, password in [("ana", "correct horse ana"), ("bob", "correct horse bob")]:
        people[name] = models.User(
            user_name=name, given_name=name, family_name="Example", formatted_name=name,
            emails=[f"{name}@example.com"], password=password,
        )
        Backend.instance.save(people[name])
    for name, members in [("analysts", [people["ana"]]), ("painters", [people["ana"], people["bob"]])]:
        Backend.instance.save(models.Group(display_name=name, members=members))
    client = models.Client(
        client_id="tollgate", client_secret=SECRET, client_name="Tollgate",
        client_id_issued_at=datetime.datetime.now(datetime.timezone.utc),
        redirect_uris=[redirect], grant_types=["authorization_code", "refresh_token"], response_types=["code"],
        scope=SCOPE, token_endpoint_auth_method="client_secret_basic", id_token_signed_response_alg="RS256",
    )
    Backend.instance.save(client)
    client.audience = [client]
    Backend.instance.save(client)


def regroup():
    user = Backend.instance.get(models.User, user_name=request.args["user"])
    group = Backend.instance.get(models.Group, display_name=request.args["group"])
    others = [member for member in group.members if member.user_name != user.user_name]
    group.members = others if request.args.get("out") else [*others, user]
    Backend.instance.save(group)
    return jsonify([member.user_name for member in group.members])


def lock():
    user = Backend.instance.get(models.User, user_name=request.args["user"])
    user.lock_date = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    Backend.instance.save(user)
    return jsonify(user.user_name)


def main(redirect):
    held = {}
    server = make_server("127.0.0.1", 0, lambda *call: held["app"](*call), threaded=True, request_handler=Quiet)
    place = f"127.0.0.1:{server.server_port}"
    app = create_app(config={
        "SECRET_KEY": secrets.token_hex(32),
        "SERVER_NAME": place,
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "HTMX": False, "EMAIL_CONFIRMATION": False},
        "CANAILLE_OIDC": {"TRUSTED_DOMAINS": []},
    })
    app.config["SESSION_COOKIE_SECURE"] = False
    app.add_url_rule("/test/group", view_func=regroup)
    app.add_url_rule("/test/lock", view_func=lock)
    with app.app_context():
        Backend.instance.init_app(app)
        fill(redirect)
    held["app"] = app
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"ready": f"http://{place}"}), flush=True)
    sys.stdin.read()


logging.disable(logging.WARNING)
main(sys.argv[1])

"""A mail server (aiosmtpd) that takes mail for whoever, as the tests say, and tells on its output what it took.

Its one argument is JSON: "tls" ("none", "starttls", "implicit"), "certificate", "key", "user", "password", and
"answers": what it says to the next messages instead of taking them. Every message is read by Python's own reader of
mail, which notes what is wrong with it. It ends when its input does.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

spec = json.loads(sys.argv[1])
answers = list(spec.get("answers", []))


def tell(what):
    print(json.dumps(what), flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        if answers:
            return answers.pop(0)
        mail = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        defects = [str(one) for part in mail.walk() for one in part.defects]
        defects += [f"{name}: {one}" for name, value in mail.items() for one in value.defects]
        tell(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "headers": [[name.lower(), str(value)] for name, value in mail.items()],
                "type": mail.get_content_type(),
                "text": mail.get_content().replace("\r\n", "\n"),
                "defects": defects,
                "ascii": envelope.original_content.isascii(),
                "longest": max(len(line) for line in envelope.original_content.split(b"\r\n")),
                "encrypted": session.ssl is not None,
                "authenticated": session.authenticated,
                "hello": session.host_name,
            }
        )
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    login = (spec["user"].encode(), spec["password"].encode())
    return AuthResult(success=(data.login, data.password) == login, handled=False)


async def main():
    context = None
    if spec["tls"] != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(spec["certificate"], spec["key"])
    later = spec["tls"] == "starttls"
    who = bool(spec.get("user"))

    def session():
        return SMTP(
            Handler(),
            hostname="mail.example.com",
            tls_context=context if later else None,
            require_starttls=later,
            authenticator=known if who else None,
            auth_required=who,
            auth_require_tls=later,
            auth_exclude_mechanism=spec.get("without", []),
        )

    first = context if spec["tls"] == "implicit" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=first)
    tell({"port": server.sockets[0].getsockname()[1]})
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())

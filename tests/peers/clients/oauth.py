"""The official Python SDK's own OAuth client at a Tollgate that is asked for sign-ins, told as JSON.

The only argument is a JSON object: "url" of the server, "user" who signs in, "mode" of the SDK, "document" (the
address of a client-ID metadata document; without it the client registers itself) and "acts", in order:

  "work"     lists the tools and calls two
  "expire"   from here on the SDK takes its access token for expired
  "revoke"   takes the refresh token back at the server, as a program does that is removed
  "decline"  from here on the person says no
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from person import Person

REDIRECT = "http://127.0.0.1:9/callback"
CALLS = [
    ["list_resources", {}],
    ["sql_query", {"resource": "shop", "statement": "SELECT email FROM customers ORDER BY id LIMIT 2"}],
]


class Kept:
    """What a program keeps between its runs."""

    tokens = client = None

    def __init__(self):
        self.seen = []

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.seen.append(tokens.model_dump(mode="json"))

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Program:
    def __init__(self, spec):
        self.spec, self.says = spec, "yes"
        self.kept, self.told, self.asked, self.answers, self.answer = Kept(), [], [], [], None
        self.auth = OAuthClientProvider(
            server_url=spec["url"],
            client_metadata=OAuthClientMetadata(
                client_name="The official SDK", redirect_uris=[REDIRECT], token_endpoint_auth_method="none"
            ),
            storage=self.kept,
            redirect_handler=self.redirect,
            callback_handler=self.callback,
            client_metadata_url=spec.get("document"),
        )

    async def redirect(self, url):
        self.asked.append(url)
        person = Person(self.spec["user"], self.spec.get("password"), self.says)
        self.answer = (await asyncio.to_thread(person.open, url, REDIRECT))["at"]

    async def callback(self):
        fields = {name: values[0] for name, values in parse_qs(urlsplit(self.answer).query).items()}
        self.answers.append({name: value for name, value in fields.items() if name not in ("code", "state")})
        return AuthorizationCodeResult(code=fields.get("code", ""), state=fields.get("state"), iss=fields.get("iss"))

    async def work(self, client):
        told = {"tools": [tool.name for tool in (await client.list_tools()).tools], "results": []}
        for name, arguments in CALLS:
            result = await client.call_tool(name, arguments)
            told["results"].append({"is_error": result.is_error, "structured": result.structured_content})
        return told

    async def revoke(self):
        form = {"token": self.kept.tokens.refresh_token, "client_id": self.kept.client.client_id}
        async with create_mcp_http_client() as http:
            answer = await http.post(str(self.auth.context.oauth_metadata.revocation_endpoint), data=form)
            return {"status": answer.status_code}

    async def run(self):
        async with create_mcp_http_client(auth=self.auth) as http:
            target = streamable_http_client(self.spec["url"], http_client=http)
            async with Client(target, mode=self.spec["mode"], read_timeout_seconds=60) as client:
                for act in self.spec["acts"]:
                    if act == "work":
                        self.told.append(await self.work(client))
                    elif act == "expire":
                        self.auth.context.token_expiry_time = 1
                    elif act == "revoke":
                        self.told.append(await self.revoke())
                    elif act == "decline":
                        self.says = "no"


async def main(spec):
    program = Program(spec)
    try:
        error = await program.run()
    except BaseException as failure:  # a refusal ends the SDK's client: it is one of the answers we look for
        error = "; ".join(repr(one) for one in leaves(failure))
    client = program.kept.client
    print(json.dumps({
        "told": program.told,
        "error": error,
        "asked": program.asked,
        "answers": program.answers,
        "tokens": program.kept.seen,
        "client": client and client.model_dump(mode="json"),
    }))


def leaves(error):
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


asyncio.run(main(json.loads(sys.argv[1])))

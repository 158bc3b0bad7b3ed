"""One session of the official Python SDK against a Tollgate, told as JSON on standard output.

The only argument is a JSON object: {"url", "token"} or {"command", "args", "env"}, the SDK's "mode"
("auto" negotiates the newest revision, "legacy" sends initialize), "calls": [[tool, arguments] …], and
"follow": whether to do as the instructions say when people are asked (call approval_wait until there is an
answer).
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


def target(spec):
    if "command" in spec:
        return StdioServerParameters(command=spec["command"], args=spec["args"], env=spec.get("env"))
    http = create_mcp_http_client(headers={"Authorization": "Bearer " + spec["token"]})
    return streamable_http_client(spec["url"], http_client=http)


async def main(spec):
    told = {"results": []}
    async with Client(target(spec), mode=spec["mode"], read_timeout_seconds=60) as client:
        told["protocol"] = client.protocol_version
        told["instructions"] = client.instructions
        tools = (await client.list_tools()).tools
        told["tools"] = [tool.name for tool in tools]
        for name, arguments in spec["calls"]:
            try:
                heard, waits = [], 0
                async def hear(progress, total, message):
                    heard.append(message)
                result = await client.call_tool(name, arguments, progress_callback=hear)
                while spec.get("follow") and (result.structured_content or {}).get("status") == "approval_pending":
                    waits += 1
                    arguments = {"approval_id": result.structured_content["approval"]["id"]}
                    result = await client.call_tool("approval_wait", arguments, progress_callback=hear)
                told["results"].append({
                    "heard": heard,
                    "waits": waits,
                    "is_error": result.is_error,
                    "structured": result.structured_content,
                    "text": [block.text for block in result.content],
                })
            except Exception as error:  # a protocol error is one of the answers we look for
                told["results"].append({"protocol_error": str(error)})
    print(json.dumps(told))


asyncio.run(main(json.loads(sys.argv[1])))

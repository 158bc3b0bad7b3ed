"""slack_sdk against the stand-in: the Web API client and Socket Mode, as in certify.mjs. Prints what was seen."""
import json
import sys
import threading
import urllib.request

from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web import WebClient

base = sys.argv[1]
web = WebClient(token="xoxb-test", base_url=f"{base}api/")
seen = {"team": web.auth_test()["team_id"]}
posted = web.chat_postMessage(channel="C00000000", text="one")
web.chat_update(channel=posted["channel"], ts=posted["ts"], text="two")
seen["user"] = web.users_info(user="U1")["user"]["team_id"]
client = SocketModeClient(app_token="xapp-test", web_client=web)
taken = threading.Event()


def listen(socket, request):
    socket.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
    seen["taken"] = request.payload["type"]
    taken.set()


client.socket_mode_request_listeners.append(listen)
client.connect()
envelope = {"type": "interactive", "envelope_id": "e1", "payload": {"type": "block_actions"}}
body = json.dumps({"envelope": envelope}).encode()
urllib.request.urlopen(urllib.request.Request(f"{base}_/send", data=body)).read()
assert taken.wait(30)
state = json.load(urllib.request.urlopen(f"{base}_/state"))
seen["acks"] = [ack["envelope_id"] for ack in state["acks"]]
client.close()
print(json.dumps(seen))

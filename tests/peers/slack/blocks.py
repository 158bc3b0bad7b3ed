"""What slack_sdk says of blocks, views and signatures of ours: reads a JSON of lists from the file it is given."""
import json
import sys

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View
from slack_sdk.signature import SignatureVerifier

spec = json.load(open(sys.argv[1]))
blocks = 0
for message in spec["messages"]:
    assert len(message) <= 50, len(message)
    parsed = Block.parse_all(message)
    assert len(parsed) == len(message)
    for block in parsed:
        block.validate_json()
        blocks += 1
for view in spec["views"]:
    View(**view).validate_json()


class Clock:
    def now(self):
        return spec["now"]


verifier = SignatureVerifier(spec["secret"], clock=Clock())
signed = []
for stamp, body in spec["sign"]:
    signed.append(verifier.generate_signature(timestamp=str(stamp), body=body))
print(json.dumps({"blocks": blocks, "signed": signed}))

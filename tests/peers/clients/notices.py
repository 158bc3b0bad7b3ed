"""Verifies notices with the official Standard Webhooks library: as they came, and changed."""
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

spec = json.loads(sys.argv[1])
webhook = Webhook(spec["secret"])
accepted, forged, ids = 0, 0, set()
for headers, body in spec["messages"]:
    headers = dict(headers)
    webhook.verify(body, headers)
    accepted += 1
    ids.add(headers["webhook-id"])
    try:
        webhook.verify(body.replace("approval", "approvaI", 1), headers)
        forged += 1
    except WebhookVerificationError:
        pass
print(json.dumps({"accepted": accepted, "forged": forged, "ids": len(ids)}))

// Reads cards with the official library of Adaptive Cards, as Teams would: what it complains of, which elements there
// are, what text they show and where they lead.
import { createRequire } from "node:module";

const cards = createRequire(import.meta.url)("adaptivecards/dist/adaptivecards.js");

const read = (json) => {
  const context = new cards.SerializationContext(cards.Versions.v1_4);
  const card = new cards.AdaptiveCard();
  card.parse(json, context);
  const complaints = [];
  for (let at = 0; at < context.eventCount; at++) complaints.push(context.getEventAt(at).message);
  for (const event of card.validateProperties().validationEvents) complaints.push(event.message);
  const [texts, kinds] = [[], new Set()];
  const walk = (item) => {
    kinds.add(item.getJsonTypeName());
    if (item instanceof cards.RichTextBlock) {
      const runs = [];
      for (let at = 0; at < item.getInlineCount(); at++) runs.push(item.getInlineAt(at).text);
      texts.push(runs.join(""));
    }
    for (let at = 0; at < (item.getItemCount?.() ?? 0); at++) {
      if (item instanceof cards.Container) walk(item.getItemAt(at));
    }
  };
  for (let at = 0; at < card.getItemCount(); at++) walk(card.getItemAt(at));
  const links = [];
  for (let at = 0; at < card.getActionCount(); at++) links.push(card.getActionAt(at).url);
  return { complaints, kinds: [...kinds].sort(), texts, links };
};

console.log(JSON.stringify(JSON.parse(process.argv[2]).map(read)));

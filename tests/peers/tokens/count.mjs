// Reads a text from standard input and prints how many tokens it is (o200k_base; the vocabulary is in the package).
import { readFileSync } from "node:fs";
import { encode } from "gpt-tokenizer/encoding/o200k_base";

process.stdout.write(String(encode(readFileSync(0, "utf8")).length));

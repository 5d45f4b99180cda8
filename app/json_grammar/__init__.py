"""What a JSON schema and its ECMA-262 patterns allow, written as a grammar that an engine can keep an answer to."""

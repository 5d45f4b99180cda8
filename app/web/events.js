/** Server-sent events out of a response's body. */

/** The `data` of each event of a `ReadableStream` of bytes, as text. Comments (pings) are left out. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) if (block.startsWith("data: ")) yield block.slice("data: ".length);
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops reading lets the server stop writing
  }
}

/** Makes the next model and tells the running services to take it: $SERVICES names them, or there is one on $PORT of this machine. */
import { make } from "./train.js";

make();
for (const address of (process.env.SERVICES || `127.0.0.1:${process.env.PORT || 8082}`).split(",")) {
  const answer = await fetch(`http://${address}/reload`, { signal: AbortSignal.timeout(30_000) });
  if (!answer.ok) throw new Error(`${address} answers ${answer.status}`);
  console.log(address, "now serves", await answer.text());
}

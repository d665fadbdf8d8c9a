"""Makes the next model and tells the running services to take it: $SERVICES names them, or there is one on $PORT of this machine."""
import os
import urllib.request

import train

if __name__ == "__main__":
    train.make()
    for address in os.environ.get("SERVICES", "127.0.0.1:" + os.environ.get("PORT", "8082")).split(","):
        with urllib.request.urlopen(f"http://{address}/reload", timeout=30) as answer:
            print(address, "now serves", answer.read().decode())

"""Makes the next model and tells the running service to take it."""
import os
import urllib.request

import train

if __name__ == "__main__":
    train.make()
    port = os.environ.get("PORT", "8082")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/reload", timeout=30) as answer:
        print("now served:", answer.read().decode())

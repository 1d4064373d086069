"""A server of adapters in a thread, and a question to it (extra: serve). The command is `selfprompt serve`."""

import io
import json
import threading
import time
from urllib.request import Request, urlopen

import uvicorn
from PIL import Image

import selfprompt as sp
from selfprompt.serving.server import app
from selfprompt.serving.settings import Settings


def main(epochs: int = 5, port: int = 8000) -> None:
    dataset = sp.load_dataset("digits")
    model = sp.create_model("builtin", method="linear", class_names=dataset.class_names, head_norm="batch")
    splits = sp.with_splits(dataset, model.protocol)
    sp.fit(model, splits.train, splits.val, recipe=sp.Recipe(epochs=epochs, batch_size=16, lr=3e-2))
    pool = sp.AdapterPool("builtin")
    pool.add("digits", model)

    server = uvicorn.Server(uvicorn.Config(app(pool, Settings()), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    picture = io.BytesIO()
    Image.fromarray(splits.test.images[0]).save(picture, "PNG")
    url = f"http://127.0.0.1:{port}/v1/predict?adapter=digits&top_k=3"
    with urlopen(Request(url, picture.getvalue(), {"content-type": "image/png"})) as answer:
        print(json.dumps(json.load(answer)["predictions"], indent=1))
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()

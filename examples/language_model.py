"""Prompts of a language model, offline on the packaged one (extra: text).

With your own: sp.create_model("text:FOLDER_OR_NAME", ...), or `selfprompt.backbones.text.wrap(model, tokenizer)`.
"""

import selfprompt as sp

TRAIN = [
    ("a tall plant with a woody trunk", "plant"),
    ("a small herb with yellow flowers", "plant"),
    ("a shrub whose leaves are used for tea", "plant"),
    ("a bird that hunts small mammals", "animal"),
    ("a large fish of cold seas", "animal"),
    ("a beetle that lives under bark", "animal"),
]


def main(epochs: int = 8) -> None:
    classes = ["animal", "plant"]
    model = sp.create_model("builtin-text", "prompt-tuning", class_names=classes, template="{soft:8} {mask} : {text}")
    train = [(text, classes.index(label)) for text, label in TRAIN]
    sp.fit(model, train, None, recipe=sp.Recipe(epochs=epochs, batch_size=6, lr=1e-2, warmup=0))
    model.save_pretrained("runs/living")
    for answer in sp.predict("runs/living", ["a tree with sweet fruit", "a mammal with long ears"]):
        print(answer["text"], "->", answer["label"], f"({answer['probability']:.2f})")


if __name__ == "__main__":
    main()

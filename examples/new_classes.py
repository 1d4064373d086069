"""Images and words: CoOp's context, trained on some classes, answers for others by their names (extra: clip)."""

import numpy as np

import selfprompt as sp


def main(shots: int = 8, epochs: int = 10) -> None:
    drawings = sp.load_dataset("drawings/colours")
    names, labels = drawings.class_names, np.asarray(drawings.train.labels)
    known, new = names[: len(names) // 2], names[len(names) // 2 :]

    few = [i for label in range(len(known)) for i in np.flatnonzero(labels == label)[:shots]]
    train = [(drawings.train.images[i], int(labels[i])) for i in few]
    model = sp.create_model("builtin-clip", method="coop", class_names=known, num_prompts=4)
    sp.fit(model, train, None, recipe=sp.Recipe(epochs=epochs, batch_size=16, lr=2e-2))
    model.save_pretrained("runs/colours")

    unseen = [i for i, label in enumerate(drawings.test.labels) if label >= len(known)][:40]
    answers = sp.predict("runs/colours", [drawings.test.images[i] for i in unseen], class_names=new)
    right = [answer["label"] == names[drawings.test.labels[i]] for answer, i in zip(answers, unseen)]
    print(f"{np.mean(right):.0%} of images of {len(new)} classes that were never trained on")


if __name__ == "__main__":
    main()

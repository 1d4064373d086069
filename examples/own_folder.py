"""A folder of labelled images to an adapter of kilobytes, and back: python examples/own_folder.py photos/

photos/ has a folder for each class. Without one, scikit-learn's digits are taken.
"""

import sys

import selfprompt as sp


def main(data: str = "digits", backbone: str = "builtin", epochs: int = 3, out: str = "runs/own-folder") -> None:
    dataset = sp.load_dataset(data)
    model = sp.create_model(backbone, method="spt", class_names=dataset.class_names, num_prompts=8, head_norm="batch")
    splits = sp.with_splits(dataset, model.protocol)  # made where missing: seeded, stratified, recorded
    recipe = sp.Recipe(epochs=epochs, batch_size=16, lr=5e-2)
    result = sp.fit(model, splits.train, splits.val, recipe=recipe, output_dir=out)
    print(f"validation accuracy {result.metrics['val_accuracy']:.1f} %")

    model.save_pretrained(f"{out}/adapter")
    some = [splits.test.images[i] for i in range(3)]
    for answer in sp.predict(f"{out}/adapter", some):  # paths, bytes, PIL images, arrays
        print(answer["label"], f"{answer['probability']:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A model of timm's that you have in your hands, with prompts; the model itself stays as it is."""

import timm
import torch

import selfprompt as sp


def main(data: str = "digits", epochs: int = 1) -> None:
    # pretrained=True, and 224 pixels, for real work
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64, num_classes=0, depth=4)
    before = {name: weight.clone() for name, weight in vit.state_dict().items()}

    dataset = sp.load_dataset(data)
    model = sp.create_model(vit, method="vpt", class_names=dataset.class_names, num_prompts=10)
    splits = sp.with_splits(dataset, model.protocol)
    sp.fit(model, splits.train, splits.val, recipe=sp.Recipe(epochs=epochs, batch_size=32, lr=0.1))

    print("prompts", tuple(model.prompts.shape), "of (blocks, prompts, width)")
    same = all(torch.equal(weight, before[name]) for name, weight in vit.state_dict().items())
    print("the model is as it was" if same else "the model has changed")


if __name__ == "__main__":
    main()

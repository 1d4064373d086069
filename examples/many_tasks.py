"""Two tasks on one frozen backbone, answered in one batch: each image with its own task's prompts and head."""

import torch

import selfprompt as sp

TASKS = {"digits": "digits", "photos": "photos"}


def main(tasks: dict[str, str] = TASKS, epochs: int = 2, images: int = 3) -> None:
    pool = sp.AdapterPool("builtin")
    batch, asked, truth = [], [], []
    for name, data in tasks.items():
        dataset = sp.load_dataset(data)
        model = sp.create_model(
            "builtin", method="vpt", class_names=dataset.class_names, num_prompts=8, head_norm="batch"
        )
        splits = sp.with_splits(dataset, model.protocol)
        sp.fit(model, splits.train, splits.val, recipe=sp.Recipe(epochs=epochs, batch_size=32, lr=3e-2))
        pool.add(name, model)

        view = model.protocol.view()
        for i in range(images):
            batch.append(view.collate([view.read(splits.test.images[i])], 1))
            asked.append(name)
            truth.append(dataset.class_names[splits.test.labels[i]])
    for task, right, (label, probability) in zip(asked, truth, pool.predict(torch.cat(batch), asked)):
        print(f"{task:8} {label:10} {probability:.2f}  ({right})")


if __name__ == "__main__":
    main()

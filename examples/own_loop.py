"""Your own training loop: a PromptedModel is a torch module whose trainable parameters are prompts and head."""

import torch
from torch.nn import functional as F

import selfprompt as sp


def main(steps: int = 60, batch_size: int = 32) -> None:
    digits = sp.load_dataset("digits")
    model = sp.create_model("builtin", method="spt", num_classes=digits.num_classes, num_prompts=8, head_norm="batch")
    view = model.protocol.view()  # how a source becomes a tensor
    count = min(steps * batch_size, len(digits.train))
    images = view.collate([view.read(digits.train.images[i]) for i in range(count)], count)  # (N, 3, 32, 32)
    labels = torch.as_tensor(digits.train.labels[:count])

    model.initialize(images.split(64))  # prototypes: one pass over the task's images
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-2, weight_decay=1e-2)
    model.train()
    for step, (batch, truth) in enumerate(zip(images.split(batch_size), labels.split(batch_size))):
        loss = F.cross_entropy(model(batch), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.3f}")
    print(f"{sum(weight.numel() for weight in trained):,} numbers were trained")


if __name__ == "__main__":
    main()

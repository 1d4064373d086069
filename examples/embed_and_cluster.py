"""Features of a frozen backbone, or of what an adapter's head reads, clustered without labels."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

import selfprompt as sp


def main(source: str = "builtin", data: str = "digits", images: int = 300) -> None:
    dataset = sp.load_dataset(data)
    some, labels = list(dataset.train.images[:images]), np.asarray(dataset.train.labels[:images])
    features = sp.embed(source, some).features  # (N, F)
    found = KMeans(dataset.num_classes, n_init=4, random_state=0).fit_predict(features)
    print(f"adjusted Rand index of {dataset.num_classes} clusters: {adjusted_rand_score(labels, found):.2f}")

    nearest = NearestNeighbors(n_neighbors=2, metric="cosine").fit(features).kneighbors(features)[1][:, 1]
    print(f"the nearest other image is of the same class for {np.mean(labels == labels[nearest]):.0%}")


if __name__ == "__main__":
    main()

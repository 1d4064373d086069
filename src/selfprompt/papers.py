"""The papers that are built here, each once; records cite them by key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper.

    Args:
        title: As published.
        authors: The first author, and whether there are others.
        venue: Where it was published; arXiv where nowhere else.
        year: When.
        arxiv: Its number there.
    """

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str

    def __str__(self) -> str:
        return f"{self.authors}, {self.title}, {self.venue} {self.year}, arXiv {self.arxiv}"


PAPERS = {
    "spt2024": Paper("Revisiting the Power of Prompt for Visual Tuning", "Wang et al.", "ICML", 2024, "2402.02382"),
    "vpt2022": Paper("Visual Prompt Tuning", "Jia et al.", "ECCV", 2022, "2203.12119"),
    "gatevpt2023": Paper(
        "Improving Visual Prompt Tuning for Self-supervised Vision Transformers",
        "Yoo et al.",
        "ICML",
        2023,
        "2306.05067",
    ),
    "clip2021": Paper(
        "Learning Transferable Visual Models From Natural Language Supervision",
        "Radford et al.",
        "ICML",
        2021,
        "2103.00020",
    ),
    "coop2022": Paper("Learning to Prompt for Vision-Language Models", "Zhou et al.", "IJCV", 2022, "2109.01134"),
    "tpt2022": Paper(
        "Test-Time Prompt Tuning for Zero-Shot Generalization in Vision-Language Models",
        "Shu et al.",
        "NeurIPS",
        2022,
        "2209.07511",
    ),
    "subpt2023": Paper(
        "Understanding and Mitigating Overfitting in Prompt Tuning for Vision-Language Models",
        "Ma et al.",
        "IEEE TCSVT",
        2023,
        "2211.02219",
    ),
    "cocoop2022": Paper(
        "Conditional Prompt Learning for Vision-Language Models", "Zhou et al.", "CVPR", 2022, "2203.05557"
    ),
    "cvpt2025": Paper("Cross Visual Prompt Tuning", "Huang et al.", "ICCV", 2025, "2408.14961"),
    "e2vpt2023": Paper(
        "E2VPT: An Effective and Efficient Approach for Visual Prompt Tuning",
        "Han et al.",
        "ICCV",
        2023,
        "2307.13770",
    ),
    "vfpt2024": Paper("Visual Fourier Prompt Tuning", "Zeng et al.", "NeurIPS", 2024, "2411.01327"),
    "pc2023": Paper("Do We Really Need a Large Number of Visual Prompts?", "Kim et al.", "arXiv", 2023, "2305.17223"),
    "apt2023": Paper(
        "Approximated Prompt Tuning for Vision-Language Pre-trained Models", "Wu et al.", "arXiv", 2023, "2306.15706"
    ),
    "lora2021": Paper("LoRA: Low-Rank Adaptation of Large Language Models", "Hu et al.", "ICLR", 2022, "2106.09685"),
    "bitfit2021": Paper(
        "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
        "Ben Zaken et al.",
        "ACL",
        2022,
        "2106.10199",
    ),
    "lntune2024": Paper(
        "Strong Baselines for Parameter-Efficient Few-Shot Fine-Tuning", "Basu et al.", "AAAI", 2024, "2304.01917"
    ),
    "mae2021": Paper("Masked Autoencoders Are Scalable Vision Learners", "He et al.", "CVPR", 2022, "2111.06377"),
    "prompttuning2021": Paper(
        "The Power of Scale for Parameter-Efficient Prompt Tuning", "Lester et al.", "EMNLP", 2021, "2104.08691"
    ),
    "ptuningv2": Paper(
        "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and Tasks",
        "Liu et al.",
        "ACL",
        2022,
        "2110.07602",
    ),
    "ppt2022": Paper("PPT: Pre-trained Prompt Tuning for Few-shot Learning", "Gu et al.", "ACL", 2022, "2109.04332"),
    "metapt2022": Paper(
        "Learning a Better Initialization for Soft Prompts via Meta-Learning",
        "Huang et al.",
        "arXiv",
        2022,
        "2205.12471",
    ),
    "ipt2022": Paper(
        "Instance-wise Prompt Tuning for Pretrained Language Models", "Jiang et al.", "arXiv", 2022, "2206.01958"
    ),
    "vtab2019": Paper(
        "A Large-scale Study of Representation Learning with the Visual Task Adaptation Benchmark",
        "Zhai et al.",
        "arXiv",
        2019,
        "1910.04867",
    ),
}

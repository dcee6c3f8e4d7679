"""Fine-tunes a text classifier in AWS's Hugging Face container, in script mode.

The channels `train` and `validation` hold CSV files with the columns text and label,
the channel `model` a pretrained encoder's folder; --encoder names another folder, or a
model id of the Hugging Face Hub. Goes on from the checkpoint folder when a checkpoint
lies there, and ends with the very weights of a run that was never interrupted. Writes
the model of the best epoch with its labels, tokenizer and metrics.json.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import batches
import checkpoints
import classifier
import pandas as pd
import torch
import transformers
from sklearn.metrics import accuracy_score, f1_score
from torch.nn.functional import cross_entropy

OTHER_OPTIONS = {"train", "validation", "model", "model_dir", "checkpoint_dir"}


@dataclass
class Rows:
    """A channel's texts as token ids, and the number of each one's class."""

    tokens: list[list[int]]
    targets: torch.Tensor

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(ids) for ids in self.tokens]


@dataclass
class Progress:
    """How far a run has come, and its best epoch so far."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_macro_f1: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    samples: int = 0
    history: list[dict] = field(default_factory=list)


def read_channel(folder: str | None, name: str) -> pd.DataFrame:
    """All CSV files of a channel; a text such as "null" or "NA" stays a text.

    Raises:
        FileNotFoundError: the channel holds no CSV file.
        ValueError: a column is missing, or there is no row.
    """
    files = sorted(Path(folder).rglob("*.csv")) if folder else []
    if not files:
        raise FileNotFoundError(f"the channel {name} ({folder}) holds no .csv file")
    frames = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
    frame = pd.concat(frames, ignore_index=True)
    missing = [column for column in ("text", "label") if column not in frame]
    if missing or frame.empty:
        raise ValueError(
            f"the channel {name} needs rows with text and label: {len(frame)} rows,"
            f" columns {list(frame.columns)}"
        )
    return frame[["text", "label"]]


def prepare(frame: pd.DataFrame, labels: list[str], tokenizer, length: int) -> Rows:
    """Tokenise a channel.

    Raises:
        ValueError: it has a label that the training channel lacks.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    unknown = sorted(set(frame["label"]) - set(labels))
    if unknown:
        raise ValueError(f"labels that the channel train lacks: {unknown}")
    targets = torch.tensor([numbers[label] for label in frame["label"]])
    return Rows(batches.tokenise(tokenizer, list(frame["text"]), length), targets)


def class_weights(targets: torch.Tensor, n: int, how: str) -> torch.Tensor | None:
    """Weight of each class in the loss: rows / (classes * rows of the class)."""
    if how == "none":
        return None
    counts = torch.bincount(targets, minlength=n).clamp(min=1)
    return len(targets) / (n * counts.float())


def make_optimizer(model, options) -> torch.optim.Optimizer:
    """AdamW; the new head learns faster than the encoder, only matrices decay."""
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = name.startswith("head."), parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    rates = {False: options.learning_rate, True: options.head_learning_rate}
    parts = [
        {"params": p, "lr": rates[head], "weight_decay": 0.01 if matrix else 0.0}
        for (head, matrix), p in sorted(groups.items())
    ]
    return torch.optim.AdamW(parts, fused=True)


def make_schedule(optimizer, steps: int):
    """Learning rates rise over the first tenth of the steps, then fall to 0."""
    warm = max(1, steps // 10)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return max(0.0, (steps - step) / max(1, steps - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


class Run:
    """One fine-tuning run: its parts, its progress, and where it is checkpointed."""

    def __init__(self, options, tokenizer, labels, train: Rows, validation: Rows):
        self.options, self.tokenizer, self.labels = options, tokenizer, labels
        self.train, self.validation = train, validation
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder = classifier.load_encoder(options.encoder)
        longest = getattr(encoder.config, "max_position_embeddings", None)
        if longest and options.max_seq_len > longest:
            raise ValueError(f"this encoder reads at most {longest} tokens a text")
        self.model = classifier.TextClassifier(encoder, len(labels)).to(self.device)
        self.frozen = classifier.freeze(self.model, options.freeze_layers)
        self.half = half_precision(options.fp16)
        weights = class_weights(train.targets, len(labels), options.class_weights)
        self.weights = None if weights is None else weights.to(self.device)
        steps = options.epochs * -(-len(train.tokens) // options.batch_size)
        self.optimizer = make_optimizer(self.model, options)
        self.schedule = make_schedule(self.optimizer, steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half)
        self.progress, self.best = Progress(), {}
        self.interrupted = False
        self.identity = identity(options, labels, train, validation)
        folder = Path(options.checkpoint_dir)
        self.checkpoint_dir = folder if folder.is_dir() else None

    def parts(self) -> dict:
        """What has a state of its own."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def write_checkpoint(self) -> None:
        """Write all that the rest of the run depends on."""
        if self.checkpoint_dir is None:
            return
        state = {name: part.state_dict() for name, part in self.parts().items()}
        state |= {"run": self.identity, "progress": asdict(self.progress)}
        state |= {"best": self.best, "random": checkpoints.random_state()}
        checkpoints.write(self.checkpoint_dir, state)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        folder = self.checkpoint_dir
        state = checkpoints.read(folder, self.identity) if folder else None
        if state is None:
            return
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.progress, self.best = Progress(**state["progress"]), state["best"]
        checkpoints.restore_random_state(state["random"])
        at = self.progress
        print(f"resumed: epoch {at.epoch + 1}, after batch {at.step}", flush=True)

    def fit(self) -> None:
        """Train until the epochs are done, or validation has not improved for long."""
        while self.progress.epoch < self.options.epochs and not self.is_stale():
            self.train_epoch()
            measured = self.close_epoch()
            self.write_checkpoint()
            # Said only now: whoever reads it may take the instance away.
            shown = " ".join(f"{name}={value:.6g};" for name, value in measured.items())
            rate = self.progress.samples / self.progress.seconds
            print(f"{shown} samples_per_second={rate:.1f};", flush=True)

    def is_stale(self) -> bool:
        """Whether the last `patience` epochs were no better than the best one."""
        waited = self.progress.epoch - self.progress.best_epoch
        return waited >= self.options.patience > 0

    def train_epoch(self) -> None:
        """The batches of an epoch that are still to come."""
        options, at = self.options, self.progress
        self.model.train()
        for module in self.frozen:
            module.eval()
        order = batches.epoch_order(
            self.train.lengths,
            options.batch_size,
            options.padding,
            options.seed,
            at.epoch,
        )
        for rows in order[at.step :]:
            began = time.perf_counter()
            at.loss_sum += self.train_batch(rows) * len(rows)
            at.seconds += time.perf_counter() - began
            at.samples += len(rows)
            at.step += 1
            every = options.checkpoint_steps
            if self.interrupted or (every and at.step % every == 0):
                self.write_checkpoint()
            if self.interrupted:
                print("interrupted: the checkpoint is written", flush=True)
                sys.exit(0)

    def train_batch(self, rows: list[int]) -> float:
        """One step of the optimizer; the batch's mean loss."""
        logits = self.logits(self.train, rows)
        targets = self.train.targets[rows].to(self.device)
        loss = cross_entropy(logits.float(), targets, weight=self.weights)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return loss.item()

    def logits(self, rows: Rows, which: list[int]) -> torch.Tensor:
        """Logits of some rows, shape (n, classes)."""
        whole = self.options.padding == "max_length"
        length = self.options.max_seq_len if whole else None
        batch = batches.pad(self.tokenizer, [rows.tokens[i] for i in which], length)
        with torch.autocast(self.device.type, torch.float16, enabled=self.half):
            return self.model(**{k: v.to(self.device) for k, v in batch.items()})

    def close_epoch(self) -> dict:
        """Judge the epoch on the validation channel; keep the best one's weights."""
        at, rows = self.progress, self.validation
        predicted = torch.empty(len(rows.tokens), dtype=torch.long)
        self.model.eval()
        with torch.inference_mode():
            for which in batches.by_length(rows.lengths, 2 * self.options.batch_size):
                predicted[which] = self.logits(rows, which).argmax(1).cpu()
        macro_f1 = float(f1_score(rows.targets, predicted, average="macro"))
        measured = {
            "epoch": at.epoch + 1,
            "train_loss": at.loss_sum / len(self.train.tokens),
            "validation_macro_f1": macro_f1,
            "validation_accuracy": float(accuracy_score(rows.targets, predicted)),
        }
        at.epoch, at.step, at.loss_sum = at.epoch + 1, 0, 0.0
        at.history.append(measured)
        if macro_f1 > at.best_macro_f1:
            at.best_macro_f1, at.best_epoch = macro_f1, at.epoch
            state = self.model.state_dict()
            self.best = {name: value.cpu().clone() for name, value in state.items()}
        return measured

    def metrics(self) -> dict:
        """What metrics.json holds."""
        at = self.progress
        parameters = [p.numel() for p in self.model.parameters() if p.requires_grad]
        limit = self.options.max_seq_len
        cut = sum(n >= limit for n in self.train.lengths) / len(self.train.lengths)
        return {
            "validation_macro_f1": at.best_macro_f1,
            "best_epoch": at.best_epoch,
            "epochs": at.epoch,
            "training_seconds": at.seconds,
            "samples_per_second": at.samples / at.seconds,
            "trainable_parameters": sum(parameters),
            "share_at_max_seq_len": cut,
            "device": self.device.type,
            "mixed_precision": self.half,
            "history": at.history,
        }

    def write_model(self) -> None:
        """Write the model of the best epoch."""
        folder = Path(self.options.model_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.load_state_dict(self.best)
        classifier.save(self.model.cpu(), self.labels, folder)
        self.tokenizer.model_max_length = self.options.max_seq_len
        self.tokenizer.save_pretrained(folder)
        (folder / "metrics.json").write_text(json.dumps(self.metrics(), indent=1))


def half_precision(fp16: str) -> bool:
    """Whether to compute in float16: "auto" where there is a GPU.

    Raises:
        ValueError: "on" without a GPU.
    """
    has_gpu = torch.cuda.is_available()
    if fp16 == "on" and not has_gpu:
        raise ValueError("fp16 is on, but there is no GPU: leave it at auto")
    return has_gpu and fp16 != "off"


def identity(options, labels: list[str], train: Rows, validation: Rows) -> dict:
    """What decides a run's result: its hyperparameters and a hash of its data."""
    data = repr([train.tokens, train.targets.tolist(), validation.tokens, labels])
    wanted = {k: v for k, v in vars(options).items() if k not in OTHER_OPTIONS}
    del wanted["checkpoint_steps"]
    wanted["encoder"] = Path(wanted["encoder"]).name
    return wanted | {"data": hashlib.sha256(data.encode()).hexdigest()[:16]}


def parse_options() -> argparse.Namespace:
    """Hyperparameters as SageMaker passes them, folders from its environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add, environment = parser.add_argument, os.environ.get
    add("--encoder", default="", help="folder or Hub id; by default the channel model")
    add("--epochs", type=int, default=6)
    add("--batch_size", type=int, default=32)
    add("--learning_rate", type=float, default=1e-4)
    add("--head_learning_rate", type=float, default=1e-3)
    add("--max_seq_len", type=int, default=128)
    add("--freeze_layers", type=int, default=0, help="embeddings and first n layers")
    add("--class_weights", choices=("none", "balanced"), default="none")
    add("--padding", choices=batches.PADDINGS, default="bucketed")
    add("--patience", type=int, default=2, help="epochs without progress; 0: never")
    add("--fp16", choices=("auto", "on", "off"), default="auto")
    add("--seed", type=int, default=0)
    add("--checkpoint_steps", type=int, default=0, help="0: after each epoch only")
    add("--checkpoint_dir", default="/opt/ml/checkpoints")
    add("--train", default=environment("SM_CHANNEL_TRAIN"))
    add("--validation", default=environment("SM_CHANNEL_VALIDATION"))
    add("--model", default=environment("SM_CHANNEL_MODEL"))
    add("--model_dir", default=environment("SM_MODEL_DIR"))
    options = parser.parse_known_args()[0]
    options.encoder = options.encoder or options.model or ""
    if not options.encoder:
        parser.error(
            "give --encoder, or a channel called model with an encoder's files"
        )
    return options


def main() -> None:
    """Read the channels, go on or begin, train, and write the best epoch's model."""
    options = parse_options()
    transformers.utils.logging.disable_progress_bar()
    frames = {n: read_channel(getattr(options, n), n) for n in ("train", "validation")}
    labels = sorted(set(frames["train"]["label"]))
    print(f"rows by class: {dict(Counter(frames['train']['label']).most_common())}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.encoder)
    rows = {
        name: prepare(frame, labels, tokenizer, options.max_seq_len)
        for name, frame in frames.items()
    }
    torch.manual_seed(options.seed)
    # Some kernels of a GPU have no deterministic twin: there it warns.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    run = Run(options, tokenizer, labels, rows["train"], rows["validation"])
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "interrupted", True))
    run.resume()
    run.fit()
    run.write_model()
    print(f"best_validation_macro_f1={run.progress.best_macro_f1:.6g};", flush=True)


if __name__ == "__main__":
    main()

"""Which files of W&B are sent."""

from pathlib import Path

from da_framework.cli.sync import EMPTY, wandb_files


def test_a_link_to_what_is_elsewhere_is_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "other" / "wandb" / "run-1"
    place.mkdir(parents=True)
    (place / "run-1.wandb").write_bytes(bytes(EMPTY + 1))
    folder = tmp_path / "runs" / "wandb"
    folder.mkdir(parents=True)
    (folder / "run-2").mkdir()
    (folder / "run-2" / "run-1.wandb").symlink_to(place / "run-1.wandb")
    assert wandb_files(tmp_path / "runs") == []
    assert wandb_files(tmp_path / "other") == [place / "run-1.wandb"]
    assert set(wandb_files(tmp_path)) == {place / "run-1.wandb", folder / "run-2" / "run-1.wandb"}
    link = tmp_path / "link"  # the folder itself may be one
    link.symlink_to(tmp_path / "other")
    assert wandb_files(link) == [link / "wandb" / "run-1" / "run-1.wandb"]

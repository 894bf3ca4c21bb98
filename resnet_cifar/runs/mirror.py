"""A copy of all runs in a folder that outlives this machine, such as the bucket that is mounted in a Space.

Runs are only copied to it and from it: whether locks and appending work on such a mount is unknown. Whenever copying
ends, what is kept of a run is what its folder could be after a kill, so it is resumed like one.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from resnet_cifar.errors import UserError
from resnet_cifar.recipe.limits import check_name
from resnet_cifar.system import files

_RECIPE, _RECORD, _SAVE = "recipe.json", "metrics.jsonl", "last.safetensors"
_OF_THIS_MACHINE = {"queued.json", "stop"}  # and whatever is hidden: locks and drafts


class _Changing(Exception):
    """Raised when a run changes in a way that its copy must not show; the next copy has it."""


class Mirror:
    """The runs in `root`, but for `without`, which is here anyway, and their copy in `kept`.

    There, a run is a folder with a recipe. That is the last file of a run to be written, and the first to be removed.
    """

    def __init__(self, root: Path, kept: Path, without: str = "") -> None:
        self._root = root
        self._kept = kept
        self._without = without
        self._copied: dict[str, dict[str, tuple[int, int]]] = {}
        """Stamps of each run's files when they were copied. Only a run that has been here is ever removed there."""
        self._missing: set[str] | None = None
        """Runs that are kept and still have to be restored; None before that is known."""

    def restore(self) -> None:
        """Copy every run that is kept and not here. Raises UserError, after all others, if one cannot be copied.

        That one is tried again with each copy, and until then nothing takes its place there.
        """
        _in_words("cannot restore the runs from", self._kept, self._restore_missing)

    def copy(self) -> None:
        """Copy what has changed, and remove what was deleted or renamed here.

        Raises UserError, after all others, if a run cannot be copied: what was kept of it before is still there.
        """
        if self._missing is None:
            self.restore()
        if self._missing:
            with suppress(UserError):  # told when the page started
                self.restore()

        def copy_all() -> None:
            here = [name for name in _runs_in(self._root) if name != self._without]
            gone = [name for name in self._copied if name not in here]
            _each([*((name, self._copy) for name in here), *((name, self._remove) for name in gone)])

        _in_words("cannot keep the runs in", self._kept, copy_all)

    def _restore_missing(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if self._missing is None:
            kept = {name for name in _runs_in(self._kept) if name != self._without}
            self._missing = {name for name in kept if not (self._root / name).exists()}
        _each((name, self._restore) for name in sorted(self._missing))

    def _restore(self, name: str) -> None:
        self._refuse_another(name)
        source, stamps = self._kept / name, {}
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=self._root) as folder:
            draft = Path(folder) / name
            for file in _files_in(source):
                target = draft / file
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(files.copy_beside(source / file, target), target)
                stamps[file] = target.stat().st_mtime_ns, target.stat().st_size
            draft.rename(self._root / name)
        self._copied[name] = stamps
        self._missing = (self._missing or set()) - {name}

    def _refuse_another(self, name: str) -> None:
        """Raise OSError if a run that could not be restored has lost its name to a new one."""
        if name in (self._missing or ()) and (self._root / name).exists():
            why = "an earlier run of this name is kept there and could not be restored; rename the new one"
            raise FileExistsError(errno.EEXIST, why, str(self._root / name))

    def _copy(self, name: str) -> None:
        """Copy a run that may be at work. All drafts are written before the first of them counts."""
        self._refuse_another(name)
        stage = _Stage(self._root / name, self._kept / name, self._copied.get(name, {}))
        try:
            stage.read()
        except _Changing:
            return
        except FileNotFoundError as error:  # a file went away meanwhile, or the whole run
            if Path(error.filename).is_relative_to(self._root):
                return
            raise
        if stage.drafts or stage.stamps.keys() != self._copied.get(name, {}).keys():
            self._copied[name] = {}  # if it breaks off, all is copied again
            stage.publish()
            self._copied[name] = stage.stamps

    def _remove(self, name: str) -> None:
        new = [other for other in _runs_in(self._root) if not self._copied.get(other)]
        if self._copied[name].get(_RECIPE) in [files.stamp(self._root / other / _RECIPE) for other in new]:
            return  # it was renamed, and is not yet there under its new name
        if (self._kept / name).exists():
            (self._kept / name / _RECIPE).unlink(missing_ok=True)
            shutil.rmtree(self._kept / name)
        del self._copied[name]


class _Stage:
    """One run on its way: what has changed since `copied`, as drafts in `kept`."""

    def __init__(self, run: Path, kept: Path, copied: dict[str, tuple[int, int]]) -> None:
        self._run = run
        self._kept = kept
        self._copied = copied
        self.stamps: dict[str, tuple[int, int]] = {}
        """Of all files of the run, before they were read."""
        self.drafts: dict[str, Path] = {}

    def read(self) -> None:
        """Write the drafts. Raises _Changing, or OSError.

        The record is read after the save, so it has the events that the save needs; all else after the record, so the
        weights and results of a run whose record is complete are its last ones.
        """
        self._draft(_SAVE)
        self._draft(_RECORD)
        if _SAVE not in self.stamps and (self._run / _SAVE).exists():
            raise _Changing  # the record may tell of steps that the save, which was missing, belongs to
        is_first = _SAVE in self.drafts and not (self._kept / _SAVE).exists()
        for name in _files_in(self._run):
            if name not in (_SAVE, _RECORD):
                self._draft(name, even_unchanged=is_first and name == _RECIPE)
        if _RECIPE not in self.stamps:
            raise _Changing  # it is being deleted

    def _draft(self, name: str, even_unchanged: bool = False) -> None:
        file, target = self._run / name, self._kept / name
        now = files.stamp(file)
        if now is None:
            return
        self.stamps[name] = now
        if even_unchanged or now != self._copied.get(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.drafts[name] = files.copy_beside(file, target)

    def publish(self) -> None:
        """Put the drafts in their places: the save after the record that it needs. Raises OSError.

        A record of steps without a save, or the files of two runs of one name, could not be resumed: where these would
        be there for a moment, no recipe is.
        """
        if _RECIPE in self.drafts:
            (self._kept / _RECIPE).unlink(missing_ok=True)
        ends = [name for name in (_RECORD, _SAVE) if name in self.drafts]
        for name in [*(name for name in self.drafts if name not in (*ends, _RECIPE)), *ends]:
            os.replace(self.drafts.pop(name), self._kept / name)
        for file in [file for file in self._kept.rglob("*") if file.is_file()]:
            if file.relative_to(self._kept).as_posix() not in self.stamps and file not in self.drafts.values():
                file.unlink()
        if _RECIPE in self.drafts:
            os.replace(self.drafts.pop(_RECIPE), self._kept / _RECIPE)


def _runs_in(folder: Path) -> list[str]:
    """List the runs in a folder. Raises OSError if it cannot be read: then it is not known that there are none."""
    return sorted(one.name for one in folder.iterdir() if _is_name(one.name) and (one / _RECIPE).is_file())


def _is_name(name: str) -> bool:
    try:
        check_name("run", name)
    except UserError:
        return False
    return True


def _files_in(run: Path) -> list[str]:
    """List the files of a run that are of use on another machine."""
    found = (file.relative_to(run) for file in run.rglob("*") if file.is_file() and not file.is_symlink())
    visible = (file for file in found if not any(part.startswith(".") for part in file.parts))
    return sorted(file.as_posix() for file in visible if file.name not in _OF_THIS_MACHINE)


def _each(works: Iterable[tuple[str, Callable[[str], None]]]) -> None:
    """Do something for each run, and raise the first OSError afterwards."""
    errors = []
    for name, work in works:
        try:
            work(name)
        except OSError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _in_words(what: str, kept: Path, work: Callable[[], None]) -> None:
    try:
        work()
    except OSError as error:
        raise UserError(f"{what} {kept}: {error.strerror or error} ({error.filename}).") from error

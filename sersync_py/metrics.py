"""The status as metrics for Prometheus. The only user of prometheus_client."""

from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from sersync_py.status import IN_STEP, STATES, PluginStatus, Status, verdict

__all__ = ["exposition"]


class _Family(NamedTuple):
    """One metric: its name, whether it only grows, what it says, and how it is taken."""

    name: str
    counts: bool
    text: str
    value: Callable[..., Optional[float]]


_OF_WATCHES: Sequence[_Family] = (
    _Family("sersync_watched_folders", False, "Folders that have an inotify watch.", lambda watch: watch.folders),
    _Family("sersync_uncovered_folders", False, "Folders without a watch, looked at every minute only.",
            lambda watch: watch.uncovered_folders),
    _Family("sersync_missing_mounts", False, "File systems below that are not mounted as before.",
            lambda watch: watch.missing_mounts),
    _Family("sersync_events_total", True, "Events that the kernel has reported.", lambda watch: watch.events),
    _Family("sersync_overflows_total", True, "Times the kernel has dropped events; each led to a scan.",
            lambda watch: watch.overflows),
    _Family("sersync_scanning", False, "1 while the folder is looked through for changes that nobody saw.",
            lambda watch: watch.scanning),
    _Family("sersync_paused", False, "1 while nothing is pushed because the watch folder is not what it was.",
            lambda watch: bool(watch.paused)),
    _Family("sersync_last_scan_timestamp_seconds", False, "When a scan for changes was last through.",
            lambda watch: watch.scanned_at),
)

_OF_REMOTES: Sequence[_Family] = (
    _Family("sersync_in_step", False, "1 if the remote has everything.", lambda remote: remote.state == IN_STEP),
    _Family("sersync_unsent_paths", False, "Changed paths that the remote does not surely have.",
            lambda remote: remote.unsent_paths),
    _Family("sersync_oldest_unsent_seconds", False, "Age of the oldest change that the remote does not surely have.",
            lambda remote: remote.oldest_unsent_seconds),
    _Family("sersync_running_sessions", False, "rsync sessions in flight.", lambda remote: remote.running_sessions),
    _Family("sersync_sessions_total", True, "rsync sessions that have ended.", lambda remote: remote.sessions),
    _Family("sersync_failed_sessions_total", True, "rsync sessions that did not do their work.",
            lambda remote: remote.failed_sessions),
    _Family("sersync_sent_bytes_total", True, "Bytes that went to the remote.", lambda remote: remote.bytes),
    _Family("sersync_sent_files_total", True, "Files that went to the remote.", lambda remote: remote.files),
    _Family("sersync_fail_log_entries", False, "Pushes that have failed twice and not arrived yet.",
            lambda remote: remote.fail_log_entries),
    _Family("sersync_last_push_timestamp_seconds", False, "When a session last reached the remote.",
            lambda remote: remote.pushed_at),
    _Family("sersync_last_error_timestamp_seconds", False, "When a session last failed, wholly or in part.",
            lambda remote: remote.error_at),
    _Family("sersync_last_whole_tree_push_timestamp_seconds", False, "When the whole tree was last pushed.",
            lambda remote: remote.whole_tree_pushed_at),
    _Family("sersync_last_whole_tree_comparison_timestamp_seconds", False, "When the whole tree was last compared.",
            lambda remote: remote.whole_tree_compared_at),
)

_CALLS = ("done", "failed", "dropped")
"""What may become of a call; the fields of a plugin's status that count them."""

_Labelled = List[Tuple[Tuple[str, ...], float]]


class _Collector:
    """Turns one status into metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its values."""
        status = self._status
        yield _metric("sersync_build_info", "The version.", ["version"], [((status.version,), 1)])
        yield _metric("sersync_all_in_step", "1 if nothing is behind.", [], [((), verdict(status) == IN_STEP)])
        yield _metric("sersync_start_timestamp_seconds", "When the agent started.", [], [((), status.started_at)])
        if status.next_whole_tree_at is not None:
            yield _metric("sersync_next_whole_tree_timestamp_seconds", "When the whole tree is compared next.", [],
                          [((), status.next_whole_tree_at)])
        watches = {(watch.path,): watch for watch in status.watches}
        remotes = {(watch.path, remote.name): remote for watch in status.watches for remote in watch.remotes}
        for family in _OF_WATCHES:
            yield _taken(family, ["watch"], watches)
        for family in _OF_REMOTES:
            yield _taken(family, ["watch", "remote"], remotes)
        states: _Labelled = [
            ((*labels, state), state == remote.state) for labels, remote in remotes.items() for state in STATES
        ]
        yield from _of_plugins(status.plugins)
        yield _metric("sersync_state", "1 for the state that the remote is in.", ["watch", "remote", "state"], states)


def _of_plugins(plugins: Sequence[PluginStatus]) -> Iterator[Metric]:
    calls: _Labelled = [
        ((plugin.name, outcome), float(getattr(plugin, outcome))) for plugin in plugins for outcome in _CALLS
    ]
    yield _metric("sersync_plugin_calls_total", "Calls of the plugin, by what has become of them.",
                  ["plugin", "outcome"], calls, counts=True)
    waiting: _Labelled = [((plugin.name,), plugin.waiting + plugin.running) for plugin in plugins]
    yield _metric("sersync_plugin_waiting_calls", "Calls that wait or are under way.", ["plugin"], waiting)


def _metric(name: str, text: str, labels: Sequence[str], values: _Labelled, counts: bool = False) -> Metric:
    metric = (CounterMetricFamily if counts else GaugeMetricFamily)(name, text, labels=labels)
    for each, value in values:
        metric.add_metric(each, float(value))
    return metric


def _taken(family: _Family, labels: Sequence[str], subjects: Mapping[Any, NamedTuple]) -> Metric:
    values = [(each, family.value(subject)) for each, subject in subjects.items()]
    known: _Labelled = [(each, value) for each, value in values if value is not None]
    return _metric(family.name, family.text, labels, known, family.counts)


def exposition(status: Status, accepted: str) -> Tuple[bytes, str]:
    """Return the metrics and their content type. `accepted`: the scraper's Accept header."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(status))
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type

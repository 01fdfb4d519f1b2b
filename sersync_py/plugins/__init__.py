"""What is called after each synchronized change: a command, a TCP port, an HTTP server, a CDN. One small file each.

A change is told once a push: when it has arrived at all remotes of its watch folder that take what they are sent. A
remote that is away, or that refuses this very path, is not waited for, and its catching up later is not told again.
(`arrivals` finds that out.) What is put right at a mirror (by the first push, `-r`, a comparison, a replay) is no
change, and neither is anything about the watch folder itself.

A folder that came or went as a whole is told once, not path by path: one that is deleted or moved away, and one that
appears with more than a thousand names in it. A folder whose list of names has changed while nobody watched is told
itself, for what was deleted in it has no name any more.
After a restart, what changed in the last minute before it may be told a second time.

No plugin can delay a push: calls wait in a row of their own that is bounded, a few are made at a time, never two for
the same path, and each has a time limit. A path that waits already is not put into the row twice.
"""

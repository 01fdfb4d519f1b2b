"""What is said to readers of Chinese: for each sentence in English the one in simplified Chinese.

Both have the same `{names}`. Words of the config (localpath, remote), options and commands stay as they are typed.
"""

from typing import Dict

__all__ = ["CHINESE", "HEARD"]

CHINESE: Dict[str, str] = {
    # config.py, elements.py and xmltext.py: what was found
    "{place}: {found}; expected {expected}": "{place}: {found}；应为：{expected}",
    "{place}: {sentence}": "{place}: {sentence}",
    "{found} ({reason})": "{found}（{reason}）",
    "is no regular file": "不是普通文件",
    "is a folder": "是一个目录",
    "cannot be read: {reason}": "无法读取：{reason}",
    "is larger than 4 MB": "超过 4 MB",
    "no XML at all": "根本不是 XML",
    "not well-formed: {reason}": "XML 格式有误：{reason}",
    "a DOCTYPE with definitions": "DOCTYPE 中带有定义",
    "a tag of {number} characters": "有一个标签长达 {number} 个字符",
    "{tag} has no {attribute}=": "{tag} 缺少 {attribute}=",
    '{tag} has {attribute}="{value}"': '{tag} 的 {attribute}="{value}" 有误',
    "the root element is {tag}": "根元素是 {tag}",
    "no localpath": "没有 localpath",
    "localpath has no remote": "localpath 下没有 remote",
    "watch folder {path} {problem}": "监控目录 {path} {problem}",
    "is relative": "是相对路径",
    "is not a folder": "不是目录",
    "is the whole system": "是整个根文件系统",
    "does not exist": "不存在",
    "does not exist (something above it is not a folder)": "不存在（上级路径中有一项不是目录）",
    "cannot be used: {reason}": "无法使用：{reason}",
    "password file {path} {problem}": "密码文件 {path} {problem}",
    "is not a file": "不是文件",
    "is open to others (mode {mode}; chmod 600 it)": "其他用户也能访问（权限 {mode}，请执行 chmod 600）",
    "is not owned by root, which rsync demands when root runs it":
        "的属主不是 root（以 root 运行时 rsync 要求属主为 root）",
    "is empty": "是空的",
    "failLog {path} is a folder": "failLog 的路径 {path} 是一个目录",
    # what was expected
    "a confxml.xml": "一个 confxml.xml 文件",
    "a confxml.xml of some KB": "一个几 KB 大小的 confxml.xml",
    "well-formed XML": "格式正确的 XML",
    "plain XML without DTD and entities": "不含 DTD 和实体的普通 XML",
    "at most 16384": "不超过 16384 个字符",
    "true or false": "true 或 false",
    "head": "head",
    "a localpath in sersync with watch=": "sersync 下带 watch= 的 localpath",
    "the absolute path of a folder": "目录的绝对路径",
    "at least one remote with ip= and name=": "至少一个带 ip= 和 name= 的 remote",
    "a host name or an address (IPv6 in [ ])": "主机名或 IP 地址（IPv6 地址写在 [ ] 中）",
    "the path of a folder at the remote": "远端目录的路径",
    "a module, or module/sub/folder": "模块名，或 模块名/子/目录",
    "localhost or an IP address of this host": "localhost 或本机的一个 IP 地址",
    "a port from 1 to 65535": "1 到 65535 之间的端口号",
    "a number of seconds, 1 or more": "秒数，至少为 1",
    "a number of minutes, 1 or more": "分钟数，至少为 1",
    "{option} is left out: nothing is deleted but what was deleted here": "忽略 {option}：只删除源端已删除的内容",
    "rsync options, quoted as in a shell": "rsync 的选项，引号写法与 shell 相同",
    "the user of the rsync module": "rsync 模块的用户名",
    "a password file that others cannot access": "其他用户无权访问的密码文件",
    "the path of a file": "文件的路径",
    "a regular expression such as {example}": "正则表达式，例如 {example}",
    "one of {names}": "{names} 之一",
    # config.py: warnings
    "a second {tag} is ignored; the first counts": "{tag} 重复出现，只有第一个生效",
    "a second sersync: its localpaths count, its other settings do not":
        "sersync 重复出现：其中的 localpath 有效，其余设置不生效",
    "attribute {name}= of {tag} is unknown and ignored": "{tag} 的属性 {name}= 无法识别，已忽略",
    "element {name} in {tag} is unknown and ignored": "{tag} 中的元素 {name} 无法识别，已忽略",
    "watch folder {path} is given twice": "监控目录 {path} 重复配置",
    "watch folder {path} lies in watch folder {above}; what changes in it is sent for both":
        "监控目录 {path} 位于另一个监控目录 {above} 之内，其中的变化会按两份配置各发送一次",
    "{remote} is also the remote of {path}; each whole-tree push deletes there what only the other has":
        "{remote} 同时也是 {path} 的远端；每次全量同步都会删掉那里只属于对方的文件",
    "remote {remote} is given twice; it is served once": "remote {remote} 重复配置，只同步一次",
    "auth is ignored because ssh is on; ssh has keys of its own": "已启用 ssh，auth 不生效；ssh 使用自己的密钥",
    "failLog has an empty path=; {path} is used": "failLog 的 path= 为空，改用 {path}",
    "{found}, which is no number of minutes; {minutes} is used": "{found}：不是分钟数，改用 {minutes}",
    "{tag} without expression= is ignored": "{tag} 缺少 expression=，已忽略",
    # pluginconfig.py
    "plugin {name} is started twice; it runs once": "插件 {name} 重复启用，只运行一次",
    "plugin {name} has no settings": "插件 {name} 没有配置",
    'an element <plugin name="{name}"> below head': 'head 下的 <plugin name="{name}"> 元素',
    "plugin {name} has no {tag}": "插件 {name} 缺少 {tag}",
    "a {tag} with {attributes}": "带 {attributes} 的 {tag}",
    "a localpath, and in it a {tag} with {attributes}": "localpath，其中有带 {attributes} 的 {tag}",
    "a command, quoted as in a shell": "要执行的命令，引号写法与 shell 相同",
    "command {name} is not there or may not be run; calls will fail": "命令 {name} 不存在或不可执行，调用会失败",
    "{attribute}= holds what only a shell understands, and no shell is used; put it into a script":
        "{attribute}= 中有只有 shell 才懂的写法，而这里不经过 shell；请写进脚本里",
    "filter is started and has no include; the plugin is never called":
        "filter 已启用却没有 include，插件永远不会被调用",
    "a host, or http://host/path (https: curl by the plugin command)":
        "主机，或 http://主机/路径（https 请用 command 插件调用 curl）",
    "a URL such as {example}": "URL，例如 {example}",
    "a regular expression with a group, such as {example}": "带括号分组的正则表达式，例如 {example}",
    # installed.py
    "rsync is not installed: install it with apt-get, dnf or yum": "没有安装 rsync：请用 yum、dnf 或 apt-get 安装",
    "rsync cannot be run: {reason}": "无法运行 rsync：{reason}",
    "rsync on this machine is not rsync {needed} or later; it says: {first}":
        "本机的 rsync 不是 {needed} 或更高版本，它的输出是：{first}",
    "rsync is {found}, {needed} or later is needed: update it with apt-get, dnf or yum":
        "rsync 版本为 {found}，需要 {needed} 或更高版本：请用 yum、dnf 或 apt-get 升级",
    # watcher.py, and cli.py before the start
    "inotify cannot be used: {reason}": "无法使用 inotify：{reason}",
    "all {value} inotify instances of this user are in use: run `sysctl -w {name}={wanted}` as root":
        "本用户的 {value} 个 inotify 实例已全部用完：请以 root 执行 `sysctl -w {name}={wanted}`",
    "no file can be opened: {reason}, the limit is {limit} (ulimit -n)":
        "无法再打开文件：{reason}，上限为 {limit}（ulimit -n）",
    "no more than {limit} files may be open, and at least {fewest} are needed: run `ulimit -n {wanted}` first":
        "最多只能打开 {limit} 个文件，而至少需要 {fewest} 个：请先执行 `ulimit -n {wanted}`",
    # cli.py: help
    "usage: ": "用法：",
    "options": "选项",
    "Mirror folder trees to rsync modules the moment they change.": "目录树一有变化，立即同步到 rsync 模块。",
    "Signals: TERM end after what is on its way, HUP read the config anew, USR1 compare the whole tree now.":
        "信号：TERM 传完正在传输的内容后退出，HUP 重新读取配置，USR1 立即进行一次全量比对。",
    "show this help and end": "显示本帮助并退出",
    "run as a daemon": "以守护进程方式运行",
    "push the whole tree to every remote at the start": "启动时先向每个远端做一次全量同步",
    "sessions that may run beside the first one of each remote (default 10)":
        "除每个远端的第一个会话之外，最多可同时运行的会话数（默认 10）",
    "the config (default confxml.xml)": "配置文件（默认 confxml.xml）",
    "run one plugin alone: {names}": "只运行一个插件：{names}",
    "say what is wrong with the config, this host and the remotes, and how to mend it; change nothing":
        "检查配置、本机和各个远端，指出问题和解决办法；不做任何改动",
    "watch and print each change and rsync command; push nothing": "只监控并显示每个变化和对应的 rsync 命令，不做同步",
    "default: the terminal; with -d a file (see --check)": "默认输出到终端；使用 -d 时写入文件（见 --check）",
    "default info; debug adds each event and command": "默认 info；debug 还会记录每个事件和命令",
    "default: in the state folder": "默认位于状态目录中",
    "default: /var/lib/sersync-py, or ~/.local/state/sersync-py if not root":
        "默认 /var/lib/sersync-py；非 root 用户为 ~/.local/state/sersync-py",
    "show the version and end": "显示版本号并退出",
    # cli.py: errors
    "sersync-py: {text}": "sersync-py: {text}",
    "{program}: error: {reason}": "{program}: 错误：{reason}",
    "--dry-run says on the terminal what it would do, and -d leaves the terminal: give one of them":
        "--dry-run 要在终端上显示，而 -d 会脱离终端：两者只能选一个",
    "already running for {config} (pid {pid})": "已经有进程在使用配置 {config} 运行（进程号 {pid}）",
    "cannot write the state folder: {reason}": "无法写入状态目录：{reason}",
    "cannot write {file}: {reason}": "无法写入 {file}：{reason}",
    # cli.py: what would be done
    "{config}: good": "{config}: 配置正确",
    "  {watch} -> plugin {name}; a call may take {seconds} s": "  {watch} -> 插件 {name}，每次调用最长 {seconds} 秒",
    "  rsync {params}; deletions on": "  rsync {params}；同步删除",
    "  rsync {params}; deletions off": "  rsync {params}；不同步删除",
    "  {number} exclude rules; fail log {path}, replayed every {minutes} minutes":
        "  {number} 条过滤规则；失败日志 {path}，每 {minutes} 分钟重试一次",
    "  whole tree every {minutes} minutes, {number} patterns left out":
        "  每 {minutes} 分钟全量比对一次，其中跳过 {number} 个模式",
    "  status page http://{page}/": "  状态页：http://{page}/",
    "  state {state}, log {log}": "  状态目录：{state}；日志：{log}",
    "on the terminal": "终端",
    # findings.py
    "in order": "正常",
    "warnings": "警告",
    "faults": "故障",
    "It would not work now. Faults: {faults}, warnings: {warnings}.":
        "目前无法正常工作：故障 {faults} 项，警告 {warnings} 项。",
    "It will work. Warnings: {warnings}.": "可以正常工作，但有警告 {warnings} 项。",
    "It will work.": "可以正常工作。",
    # doctor.py
    "rsync is {version}": "rsync 版本 {version}",
    "Nothing could be sent.": "没有 rsync 就无法同步。",
    "Install it; until then the remotes cannot be tried:": "请先安装；在此之前无法检查各个远端：",
    "fail log {path} cannot be written: {reason}": "失败日志 {path} 无法写入：{reason}",
    # diagnosis.py: watch folders
    "watch folder {path} cannot be read": "监控目录 {path} 不可读",
    "Nothing of it would be sent.": "其中的内容完全不会同步。",
    "Run sersync-py as root, or let this user in:": "请以 root 运行 sersync-py，或者给当前用户授权：",
    "{number} folders in {path} cannot be read, such as {folder}": "{path} 中有 {number} 个目录不可读，例如 {folder}",
    "What is in them is not sent.": "这些目录中的内容不会同步。",
    "watch folder {path} is empty": "监控目录 {path} 是空的",
    "Most often its disk is not mounted. As long as it is empty nothing is deleted at the remotes.":
        "多半是磁盘没有挂载。目录为空期间，不会删除远端的任何文件。",
    "If it should be mounted:": "如果应该挂载，请执行：",
    "watch folder {path}: {number} folders to watch": "监控目录 {path}：共需监控 {number} 个目录",
    "more than {number}": "{number} 以上",
    "watch folder {path} is on {what}": "监控目录 {path} 位于 {what}",
    "{point} in watch folder {path} is on {what}": "监控目录 {path} 中的 {point} 位于 {what}",
    "inotify tells of what this host writes there, not of what other hosts write.":
        "inotify 只能感知本机的写入，其他主机写入的内容感知不到。",
    "The comparison every {minutes} minutes finds it; on the file server it would be seen at once.":
        "每 {minutes} 分钟一次的全量比对会补上；若改在文件服务器上运行，则可实时同步。",
    "Run sersync-py on the file server, or have the whole tree compared regularly (minutes):":
        "请在文件服务器上运行 sersync-py，或者定期做全量比对（单位：分钟）：",
    "watch folder {path} is on overlay, a container's own layer": "监控目录 {path} 位于 overlay，即容器自身的可写层",
    "What is written to the layer from outside is not seen, and it goes with the container.":
        "从容器外部写入的内容感知不到，而且容器删除后数据也随之消失。",
    "Give the container a folder of the host:": "请把宿主机的目录挂载到容器中：",
    "{remote} is watch folder {path} itself, lies in it, or holds it":
        "{remote} 就是监控目录 {path} 本身，或者两者有包含关系",
    "Each push would be a change that is to be pushed.": "每次同步都会产生新的变化，从而无限循环。",
    "Name another folder in name= of remote.": "请在 remote 的 name= 中换一个目录。",
    # diagnosis.py: the kernel
    "the kernel allows {limit} watches": "内核允许的 inotify 监控数为 {limit}",
    "{number} folders to watch, and the kernel allows {limit} watches for all programs of a user":
        "需监控 {number} 个目录，而内核只允许每个用户的所有程序共用 {limit} 个监控",
    "The agent raises the limit when it starts.": "sersync-py 启动时会自动调高。",
    "Folders without a watch are looked through once a minute only.": "分不到监控的目录只能每分钟扫描一次。",
    "As root:": "请以 root 执行：",
    "inotify can be used": "inotify 可用",
    "this kernel has no inotify": "内核不支持 inotify",
    "The agent would end at once.": "sersync-py 一启动就会退出。",
    "Run sersync-py on Linux, outside of the sandbox that hides it.":
        "请在普通的 Linux 系统上运行，而不要放在屏蔽了 inotify 的沙箱中。",
    "{wanted} more inotify instances are needed; the kernel allows a user {limit}, and other programs hold them":
        "还需要 {wanted} 个 inotify 实例；内核允许每个用户 {limit} 个，已被其他程序占用",
    "the kernel keeps up to {limit} events": "内核事件队列长度为 {limit}",
    "the kernel keeps up to {limit} events; the agent raises that to {wanted}":
        "内核事件队列长度为 {limit}，sersync-py 启动时会自动调到 {wanted}",
    "the kernel keeps up to {limit} events, {wanted} would be better": "内核事件队列长度为 {limit}，建议调到 {wanted}",
    "When very much changes at once it drops some. Nothing is lost, but the tree has to be looked through.":
        "短时间内变化过多时内核会丢弃事件。文件不会漏掉，但要重新扫描目录树。",
    "enough files may be open at a time": "可同时打开的文件数足够",
    "{limit} files may be open at a time, {needed} may be needed":
        "最多可同时打开 {limit} 个文件，而可能需要 {needed} 个",
    "Sessions that cannot be started wait.": "不够时，无法启动的会话只能等待。",
    "Before the start, or as LimitNOFILE= of the service:": "请在启动前执行，或者写入服务的 LimitNOFILE=：",
    "the clock is kept right": "时钟已同步",
    "the clock is not synchronized": "时钟没有同步",
    "-u keeps what is newer at the mirror, and marks are moments: both need clocks that agree.":
        "参数 -u 会保留远端较新的文件，断点标记也以时间为准：两者都要求各主机时钟一致。",
    "Start chronyd, ntpd or systemd-timesyncd, such as with:": "请启用 chronyd、ntpd 或 systemd-timesyncd，例如：",
    "SELinux is permissive": "SELinux 处于 permissive 模式",
    "SELinux is enforcing and lets rsync through": "SELinux 处于 enforcing 模式，已放行 rsync",
    "SELinux is enforcing, and off are: {names}": "SELinux 处于 enforcing 模式，以下布尔值未打开：{names}",
    "An rsync that was started by a service may not be let connect or read, even if it works by hand.":
        "由系统服务启动的 rsync 可能无法联网或读取文件，即使手工执行一切正常。",
    "As root; on the receivers rsync_full_access too:": "请以 root 执行；接收端也要打开 rsync_full_access：",
    # diagnosis.py: files
    "password file {path} has mode {mode}, owner {owner}": "密码文件 {path} 的权限为 {mode}，属主 {owner}",
    "password file {path}: mode {mode}, owner {owner}": "密码文件 {path}：权限 {mode}，属主 {owner}",
    "The group can read the password.": "同组用户可以读到密码。",
    "{path} cannot be written: {reason}": "{path} 无法写入：{reason}",
    "Mend that, or name another place with {option}.": "请解决该问题，或者用 {option} 另外指定位置。",
    "state folder {path} can be written": "状态目录 {path} 可写",
    "{free} KB are free where the state folder {path} is": "状态目录 {path} 所在的磁盘只剩 {free} KB",
    "Marks that cannot be saved make the next start look through more.": "断点标记存不下，下次启动就要扫描更多的内容。",
    "Make room, or name another place with {option}.": "请清理空间，或者用 {option} 另外指定位置。",
    "What fails again and again would stand in the log only.": "反复失败的文件将只能在日志中查到。",
    "If nothing of that can be changed, name another place in the config:": "如果无法解决，请在配置中另外指定位置：",
    "fail log {path} is in a folder where everyone can write": "失败日志 {path} 位于所有用户都可写的目录",
    "Another user can take its name first, and what cleans up there removes it.":
        "其他用户可以抢先占用这个文件名，系统清理临时文件时也会把它删掉。",
    "Name a place of its own in the config:": "请在配置中指定专用的位置：",
    "fail log {path} has {number} entries to be made up for": "失败日志 {path} 中有 {number} 条记录等待重试",
    "the mark of {remote} {reason}": "{remote} 的断点标记{reason}",
    "The next start compares the whole tree.": "下次启动时会做全量比对。",
    "See whether the clock is right:": "请检查时钟是否准确：",
    "watch folder {path} is another folder than was mirrored to {remote}":
        "监控目录 {path} 已不是此前同步到 {remote} 的那个目录",
    "Perhaps its disk is not mounted. What it has is sent, and nothing is deleted on its account.":
        "可能是磁盘没有挂载。现有的内容会照常同步，但不会因此删除远端的文件。",
    "If it is meant to be so, once the agent runs:": "如果确实如此，请在 sersync-py 启动后执行：",
    "{folders} in watch folder {path}: not mounted as before": "监控目录 {path} 中的 {folders} 与以前的挂载不符",
    "Nothing there is sent or deleted at the remotes.": "其中的内容既不发送，也不在远端删除。",
    "not mirrored to before: {remotes}; the first start should have -r": "从未同步过：{remotes}；首次启动请加 -r",
    # diagnosis.py: other programs
    "sersync-py runs for this config already, as process {pid}": "已经有 sersync-py 在使用此配置运行，进程号 {pid}",
    "A second one would be refused. It reads a changed config with:": "不能重复启动。修改配置后可用以下命令重新加载：",
    "{name} runs on {path}, as process {pid}": "{name} 正在同步 {path}，进程号 {pid}",
    "{name} runs as process {pid}; on which folders cannot be told":
        "{name} 正在运行，进程号 {pid}，无法确定它同步哪些目录",
    "Both would send each change, and delete.": "两者会把每个变化各同步一次，包括删除。",
    "If it is on one of these, both would send each change, and delete.":
        "如果目录相同，两者会把每个变化各同步一次，包括删除。",
    "Stop it before sersync-py starts, and take it out of what starts at boot:":
        "请在启动 sersync-py 之前停掉它，并取消它的开机启动：",
    # reachability.py
    "{remote} takes pushes (rsync {release} there)": "{remote} 可以同步（对方 rsync 版本 {release}）",
    "{remote} takes pushes": "{remote} 可以同步",
    "3.4 or later": "3.4 或更高",
    "before 3.0": "低于 3.0",
    "A newer rsync on {host} mends it:": "请升级 {host} 上的 rsync：",
    "the rsync of {remote} is older than 3.1.3": "{remote} 的 rsync 版本低于 3.1.3",
    "It knows the times of files to the second only, so changed files are compared by content.":
        "它只能按秒比较文件时间，因此有变化的文件要逐个比较内容。",
    "the rsync of {remote} cannot take deletions by name": "{remote} 的 rsync 不支持按文件名删除",
    "They go as rules, which takes longer, and the commands of the fail log do not work by hand.":
        "删除操作改用过滤规则，速度较慢；失败日志中的命令也不能手工执行。",
    "Nothing is sent there until that is mended; changes wait and are not lost.":
        "解决之前无法向它同步；期间的变化会保留，不会丢失。",
    "{remote}: {reason}": "{remote}：{reason}",
    "What a push by hand says may tell more:": "手工执行一次也许能看到更多信息：",
    "{host}: no answer on port {port} within {seconds} s": "{host}：端口 {port} 在 {seconds} 秒内没有应答",
    "See on {host} what listens there, and whether it hangs:": "请在 {host} 上查看是什么程序在监听，是否已经卡死：",
    "{remote}: no answer by ssh within {seconds} s": "{remote}：ssh 在 {seconds} 秒内没有应答",
    "See what it waits for:": "请查看它在等待什么：",
    "{host}: this name has no address": "{host}：无法解析这个主机名",
    "Mend the name in ip= of remote, or give it an address:": "请改正 remote 的 ip=，或者为它添加解析：",
    "{host}: cannot be reached on port {port}": "{host}：无法连接端口 {port}",
    "If the host is up, let the port through its firewall, on {host}:":
        "如果主机在线，请在 {host} 的防火墙上放行该端口：",
    "Start sshd on {host}:": "请在 {host} 上启动 sshd：",
    "{host}: nobody listens on port {port}": "{host}：端口 {port} 没有程序监听",
    "Start the rsync daemon on {host} (its service is called rsync on Debian):":
        "请在 {host} 上启动 rsync 守护进程（Debian 上的服务名为 rsync）：",
    "{host}: what listens on port {port} is no rsync daemon": "{host}：监听端口 {port} 的不是 rsync 守护进程",
    "Mend port= of userDefinedPort, or see on {host} what listens there:":
        "请改正 userDefinedPort 的 port=，或者在 {host} 上查看是什么程序在监听：",
    "{host}: the rsync daemon has no module [{module}]": "{host}：rsync 守护进程没有模块 [{module}]",
    "Mend name= of remote, or add the module to {file} on {host}:":
        "请改正 remote 的 name=，或者在 {host} 的 {file} 中添加该模块：",
    "{remote}: the daemon does not let this host in": "{remote}：守护进程拒绝本机访问",
    "Add its address to the module in {file} on {host}:": "请在 {host} 的 {file} 中为该模块加上本机地址：",
    "{remote}: the daemon has no connection free": "{remote}：守护进程的连接数已满",
    "Changes wait until one is. Comparisons, big files and backlogs take connections of their own.":
        "有空闲连接之前，变化只能等待。全量比对、大文件和积压较多时都要占用额外的连接。",
    "Allow more in {file} on {host}:": "请在 {host} 的 {file} 中调高连接数：",
    "{remote}: the folder of the module is not there, or may not be entered":
        "{remote}：模块对应的目录不存在，或者无权进入",
    "Make what path= of [{module}] in {file} names, on {host}; with SELinux let rsync in, too:":
        "请在 {host} 上创建 {file} 中 [{module}] 的 path= 所指的目录；若启用了 SELinux，还要放行 rsync：",
    "{remote}: the module wants a login, and the config has none": "{remote}：模块要求登录，而配置中没有账号",
    "Add it below rsync in the config:": "请在配置的 rsync 元素下添加：",
    "{remote}: the login as {user} fails": "{remote}：用户 {user} 登录失败",
    "{file} begins with {user}: but must hold the password alone:": "{file} 以“{user}:”开头，而其中只能写密码：",
    "On {host} the user must stand in auth users of the module, and in its secrets file with the password that {file}"
    " has here; that file must be of mode 600:":
        "在 {host} 上，模块的 auth users 中要有该用户，secrets file 中的密码要与本机 {file} 一致，且权限须为 600：",
    "{remote}: the module is read only": "{remote}：模块是只读的",
    "Write into [{module}] of {file} on {host}:": "请在 {host} 的 {file} 的 [{module}] 中写上：",
    "{remote}: the daemon refuses {option}": "{remote}：守护进程不允许使用 {option}",
    "Take it out of refuse options in {file} on {host}, or out of the config.":
        "请从 {host} 的 {file} 的 refuse options 中去掉它，或者在配置中不使用它。",
    "{remote}: the folder above {folder} is not there": "{remote}：{folder} 的上级目录不存在",
    "Make it on {host}, in the folder of the module:": "请在 {host} 上进入模块的目录后创建：",
    "Make it on {host}:": "请在 {host} 上创建：",
    "{remote}: the receiver may not enter or write its folder": "{remote}：接收端无权进入或写入目录",
    "Give the folder to the uid of the module, or have uid = root; with SELinux, on {host}:":
        "请把目录的属主改为模块的 uid，或者设置 uid = root；若启用了 SELinux，请在 {host} 上执行：",
    "{host}: its disk is full": "{host}：磁盘已满",
    "Make room on {host}:": "请清理 {host} 的磁盘空间：",
    "{host}: its ssh key is not known here, or is another one than was known":
        "{host}：本机没有它的 ssh 主机密钥，或者密钥已经改变",
    "Log in by hand once, as the user that sersync-py runs as:": "请用运行 sersync-py 的用户手工登录一次：",
    "{host}: ssh does not let this user in": "{host}：ssh 拒绝当前用户登录",
    "Bring this user's key there:": "请把当前用户的公钥复制过去：",
    "{host}: has no rsync": "{host}：没有安装 rsync",
    "Install it on {host}:": "请在 {host} 上安装：",
    "the command of ssh cannot be run here: {reason}": "本机无法运行 ssh 命令：{reason}",
    "Install it, or mend -e in params:": "请安装 ssh，或者改正 params 中的 -e：",
    "{remote}: rsync does not take the params: {reason}": "{remote}：rsync 不接受 params 中的参数：{reason}",
    "Mend params= of commonParams, or update the older of the two rsyncs.":
        "请改正 commonParams 的 params=，或者升级两端中较旧的 rsync。",
    # marks.py
    "is not a mark, or torn": "不是有效的标记，或者已经损坏",
    "is the mark of something else": "属于另外的目录或远端",
    "lies {seconds} s ahead of the clock": "比当前时间超前 {seconds} 秒",
    "was saved before the clock was set back by {seconds} s": "保存之后系统时间被调回了 {seconds} 秒",
    # faillog.py
    "fail log {path}": "失败日志 {path}",
    "{log} {wrong} ({reason}); {advice}": "{log} {wrong}（{reason}）；{advice}",
    "cannot be read": "无法读取",
    "cannot be written": "无法写入",
    "create the folder it stands in": "请创建它所在的目录",
    "name a file in a folder as failLog path": "请把 failLog 的 path 指向某个目录下的文件",
    "remove it: the fail log is never read through a symbolic link": "请删除它：失败日志不允许是符号链接",
    "make room there, or name another failLog path": "请清理空间，或者另外指定 failLog 的 path",
    "name a failLog path that this user may read and write": "请把 failLog 的 path 指向当前用户可读写的位置",
    "{log} is no plain file; remove it, or name another failLog path":
        "{log} 不是普通文件；请删除它，或者另外指定 failLog 的 path",
    "{log} has {number} names (hard links); remove it": "{log} 有 {number} 个硬链接；请删除它",
    "{log} is owned by user {owner}; remove it, or name another failLog path":
        "{log} 的属主是用户 {owner}；请删除它，或者另外指定 failLog 的 path",
    "{log} is a folder or a device; name a plain file as failLog path":
        "{log} 是目录或设备；请把 failLog 的 path 指向普通文件",
    "the folder that this was started in is gone; change to one that is there":
        "启动时所在的目录已不存在；请先切换到存在的目录",
    "what is to be said cannot be written: {reason}": "无法输出：{reason}",
    # cli.py: the status
    "ask the running agent how it is: exit 0 in step, 1 behind, 2 no answer":
        "询问正在运行的进程的状态：退出码 0 已同步，1 有落后，2 无应答",
    "with --status: as JSON": "与 --status 合用：以 JSON 输出",
    "--json goes with --status": "--json 要与 --status 合用",
    "not running for {config}": "没有为 {config} 运行的进程",
    "running for {config} (pid {pid}), but there is no answer within {seconds} s: it is starting, or it hangs":
        "为 {config} 运行的进程（进程号 {pid}）在 {seconds} 秒内没有应答：正在启动，或已挂起",
    "cannot ask {file}: {reason}": "无法询问 {file}：{reason}",
    "what {file} says is no status": "{file} 的应答不是状态信息",
    # words.py, table.py and page.py: the status
    "everything is in step": "全部已同步",
    "{behind} of {total} remotes behind": "{total} 个远端中有 {behind} 个落后",
    "{watch} {why}: nothing is pushed or deleted until it is back": "{watch} {why}：恢复之前既不发送也不删除",
    "{watch}: {number} folders have no inotify watch and are looked at every minute only":
        "{watch}：{number} 个目录没有 inotify 监控，每分钟只检查一次",
    "{watch}: not mounted as before: {why}; nothing there is sent or deleted until it is back; if it is meant: SIGUSR1":
        "{watch}：{why} 与以前的挂载不符；恢复之前，其中的内容既不发送也不删除；若确是本意，请发送 SIGUSR1",
    "{remote} has been away for {span}, {number} unsent: {why}":
        "{remote} 不可用已有 {span}，{number} 条未发送：{why}",
    "{remote}: {number} unsent, the oldest for {span}":
        "{remote}：{number} 条未发送，最早的已等待 {span}",
    "{remote}: {watch} is another folder than was mirrored before, nothing is deleted there; if it is meant: SIGUSR1":
        "{remote}：{watch} 不是以前同步的那个目录，因此不在远端删除任何东西；若确是本意，请发送 SIGUSR1",
    "{remote}: entries in the fail log: {number}": "{remote}：失败日志中有 {number} 条",
    "is gone": "不见了",
    "is another folder or file system than it was": "已不是原来的目录或文件系统",
    "in step": "已同步",
    "pushing": "同步中",
    "scanning": "扫描中",
    "away": "不可用",
    "paused": "已暂停",
    "{days} d {hours} h": "{days} 天 {hours} 小时",
    "{hours} h {minutes} min": "{hours} 小时 {minutes} 分",
    "{minutes} min {seconds} s": "{minutes} 分 {seconds} 秒",
    "{seconds} s": "{seconds} 秒",
    "never": "从未",
    "{number} folders watched": "监控 {number} 个目录",
    "{number} events/s": "每秒 {number} 个事件",
    "{number} overflows": "队列溢出 {number} 次",
    "looking for changes": "正在查找变更",
    "last scan {moment}": "上次扫描 {moment}",
    "next comparison {moment}": "下次比对 {moment}",
    "remote": "远端",
    "state": "状态",
    "lag": "延迟",
    "unsent": "未发送",
    "fail log": "失败日志",
    "sent": "已发送",
    "whole tree": "全量同步",
    "being compared": "正在比对",
    "next try in {span}": "{span}后重试",
    "last error {moment}: {why}": "最近的错误 {moment}：{why}",
    "pid {pid}, running for {span}, {config}": "进程号 {pid}，已运行 {span}，{config}",
    "as of {moment}": "更新于 {moment}",
    "No answer from the agent since": "同步进程无应答，自",
    "throughput": "流量",
    "{amount} in the last hour": "最近一小时 {amount}",
    "1 h ago": "1 小时前",
    "now": "现在",
    "peak {value}": "峰值 {value}",
    "files": "文件",
    "sessions": "会话",
    "{number}, {failed} failed": "{number}，失败 {failed}",
    "last push": "最近发送",
    "last error": "最近的错误",
    "compared {moment}": "{moment} 比对",
    "pushed {moment}": "{moment} 推送",
    "notes": "提示",
    "plugins": "插件",
    "plugin {name}: {done} calls done, {failed} failed, {dropped} dropped, {waiting} waiting":
        "插件 {name}：调用成功 {done} 次，失败 {failed} 次，丢弃 {dropped} 次，等待 {waiting} 次",
    "for machines:": "供程序读取：",
}

HEARD: Dict[str, str] = {
    # argparse
    "argument {option}: expected one argument": "选项 {option} 需要一个值",
    "argument {option}: ignored explicit argument {value}": "选项 {option} 不带值，却给了 {value}",
    "argument {option}: invalid choice: {value} (choose from {choices})":
        "选项 {option} 的值 {value} 无效（可选：{choices}）",
    "argument {option}: {reason}": "选项 {option}：{reason}",
    "unrecognized arguments: {arguments}": "无法识别的参数：{arguments}",
    "ambiguous option: {option} could match {options}": "选项 {option} 不明确，可能是 {options}",
    "{text} is not a whole number from 1 to 999999": "{text} 不是 1 到 999999 之间的整数",
    # outcomes.py: how a session ended
    "{meaning} (exit {code}): {message}": "{meaning}（退出码 {code}）：{message}",
    "wrong usage": "用法有误",
    "incompatible protocols": "协议不兼容",
    "wrong folder": "目录有误",
    "not supported by the other end": "对方不支持",
    "the daemon refused": "守护进程拒绝",
    "no connection": "无法连接",
    "file input/output failed": "文件读写失败",
    "connection broke": "连接中断",
    "no diagnostics from the other end": "收不到对方的诊断信息",
    "inter-process communication failed": "进程间通信失败",
    "ended by a signal": "被信号终止",
    "out of memory": "内存不足",
    "some paths failed": "部分路径失败",
    "timeout": "超时",
    "timeout while connecting": "连接超时",
    "rsync or ssh not found": "找不到 rsync 或 ssh",
    "ssh failed": "ssh 失败",
    # the kernel
    "No such file or directory": "没有那个文件或目录",
    "Not a directory": "不是目录",
    "Is a directory": "是一个目录",
    "Permission denied": "权限不够",
    "Operation not permitted": "不允许的操作",
    "Read-only file system": "只读文件系统",
    "No space left on device": "设备上没有空间",
    "Disk quota exceeded": "超出磁盘配额",
    "File name too long": "文件名过长",
    "Too many levels of symbolic links": "符号链接的层数过多",
    "Too many open files": "打开的文件过多",
    "Input/output error": "输入/输出错误",
    "Stale file handle": "文件句柄已失效",
    "Exec format error": "可执行文件格式错误",
    "embedded null byte": "含有空字节",
    # shlex, re
    "no closing quotation": "引号没有配对",
    "no escaped character": "反斜杠后面缺少字符",
    "{reason} at position {position}": "第 {position} 个字符处：{reason}",
    "nothing to repeat": "没有可以重复的内容",
    "multiple repeat": "重复符号连用",
    "missing ), unterminated subpattern": "缺少 )，括号没有配对",
    "unbalanced parenthesis": "括号没有配对",
    "unterminated character set": "缺少 ]，方括号没有配对",
    "bad escape (end of pattern)": "末尾的反斜杠后面缺少字符",
    "min repeat greater than max repeat": "重复次数的下限大于上限",
    "bad character range {characters}": "字符范围 {characters} 有误",
    # libxml2
    "Opening and ending tag mismatch: {tags}": "开始标签与结束标签不匹配：{tags}",
    "Premature end of data in tag {tag}": "标签 {tag} 尚未结束，文件就到头了",
    "Start tag expected, '<' not found, {place}": "应有开始标签，却没有找到 '<'，{place}",
    "AttValue: \" or ' expected, {place}": "属性值应写在引号中，{place}",
    "Extra content at the end of the document, {place}": "文档结束之后还有内容，{place}",
    "Document is empty, {place}": "文档是空的，{place}",
    "line {line}, column {column}": "第 {line} 行第 {column} 列",
}

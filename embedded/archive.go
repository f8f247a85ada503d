package embedded

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// officialMirror is where MongoDB publishes its archives.
const officialMirror = "https://fastdl.mongodb.org"

// archive is one of MongoDB's official archives.
type archive struct {
	// Key is its file name without the extension, and its name in the cache.
	Key string
	// Path is its place on a mirror, with a leading slash.
	Path string
	// SHA256 is its checksum when it is known here, else empty.
	SHA256 string
}

func (a archive) file() string { return a.Path[strings.LastIndexByte(a.Path, '/')+1:] }

// archives returns the archives of a version that may run on the host, best
// first. A build that does not exist is answered with 404, and the next is tried.
func archives(h host, version, target string) []archive {
	switch h.OS + "/" + h.Arch {
	case "linux/amd64":
		return linux("x86_64", linuxTargets(h, version, target), version)
	case "linux/arm64":
		return linux("aarch64", linuxTargets(h, version, target), version)
	case "darwin/amd64":
		return []archive{at("/osx/mongodb-macos-x86_64-"+version, ".tgz")}
	case "darwin/arm64":
		return []archive{at("/osx/mongodb-macos-arm64-"+version, ".tgz")}
	case "windows/amd64":
		return []archive{at("/windows/mongodb-windows-x86_64-"+version, ".zip")}
	}
	return nil
}

func linux(arch string, targets []string, version string) []archive {
	out := make([]archive, len(targets))
	for i, t := range targets {
		out[i] = at("/linux/mongodb-linux-"+arch+"-"+t+"-"+version, ".tgz")
	}
	return out
}

func at(path, ext string) archive {
	key := path[strings.LastIndexByte(path, '/')+1:]
	return archive{Key: key, Path: path + ext, SHA256: knownSum(key)}
}

// linuxTargets names the builds for a Linux system: its own, then those that
// need the same OpenSSL, which is what decides in practice.
func linuxTargets(h host, version, target string) []string {
	if target != "" {
		return []string{target}
	}
	if h.Musl {
		return nil // MongoDB publishes no build for musl
	}
	v, err := parseVersion(version)
	if err != nil {
		return nil
	}
	var out []string
	for _, id := range h.IDs {
		if out = distroTargets(id, h, v[0]); len(out) > 0 {
			break
		}
	}
	if h.OpenSSL == 1 {
		out = append(out, "ubuntu2004", "rhel80")
	} else {
		out = append(out, "ubuntu2204", "rhel90")
	}
	// Derivatives count their releases in their own way: what the system has decides.
	return slices.DeleteFunc(unique(out), func(t string) bool {
		return (h.OpenSSL == 3 && !openSSL3(t)) || (h.OpenSSL == 1 && openSSL3(t))
	})
}

// openSSL3 says whether a build needs OpenSSL 3, as all for newer systems do.
func openSSL3(target string) bool {
	switch target {
	case "ubuntu2204", "ubuntu2404", "debian12", "rhel90", "rhel93", "amazon2023":
		return true
	}
	return false
}

// distroTargets names the builds for one distribution. major is MongoDB's.
func distroTargets(id string, h host, major int) []string {
	arm := h.Arch == "arm64"
	switch id {
	case "ubuntu":
		return newest(h.Version, []build{
			{"24.04", major >= 8, "ubuntu2404"},
			{"22.04", true, "ubuntu2204"},
			{"20.04", true, "ubuntu2004"},
			{"18.04", major < 7, "ubuntu1804"},
		})
	case "debian": // no builds for arm64
		return newest(h.Version, []build{
			{"12", major >= 7 && !arm, "debian12"},
			{"12", true, "ubuntu2204"},
			{"11", !arm, "debian11"},
			{"11", true, "ubuntu2004"},
			{"10", !arm && major < 7, "debian10"},
		})
	case "rhel", "centos", "rocky", "almalinux", "ol":
		return newest(h.Version, []build{
			{"9.3", major >= 8, "rhel93"},
			{"9", true, "rhel90"},
			{"8", major >= 8, "rhel8"},
			{"8", arm, "rhel82"},
			{"8", !arm, "rhel80"},
			{"7", !arm, "rhel70"},
		})
	case "fedora": // its own version numbers say nothing
		return []string{"rhel90"}
	case "amzn":
		return newest(h.Version, []build{{"2023", major >= 7, "amazon2023"}, {"2023", true, "rhel90"}, {"2", true, "amazon2"}})
	case "sles", "suse", "opensuse", "opensuse-leap":
		return newest(h.Version, []build{{"15", !arm, "suse15"}, {"12", !arm && major < 8, "suse12"}})
	}
	return nil
}

// build is a target that exists when ok, for systems of version since and later.
type build struct {
	since  string
	ok     bool
	target string
}

// newest returns the targets of the newest release not newer than version;
// derivatives count in their own way, so all of them when version is older than any.
func newest(version string, builds []build) []string {
	var out []string
	since := ""
	for _, b := range builds {
		if !b.ok || compareRelease(version, b.since) < 0 || (since != "" && b.since != since) {
			continue
		}
		since = b.since
		out = append(out, b.target)
	}
	return out
}

// compareRelease compares "22.04" and "9" number by number.
func compareRelease(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i])
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i])
		}
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return 0
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// knownSum returns the SHA-256 of an archive as MongoDB's Homebrew formulae
// (macOS) and Nixpkgs (Linux) publish it. For every other archive it is fetched
// from the mirror, beside the archive: that finds damage, but not a mirror
// that lies. Prefer a version listed here where that matters.
func knownSum(key string) string {
	switch key {
	case "mongodb-macos-x86_64-6.0.23":
		return "6222822527e046445e9a60780bd8bb8f5fdb5f7b37237be4666e5ada3a559f93"
	case "mongodb-macos-arm64-6.0.23":
		return "a5fe3b9e89cbe816ec2394be0afea8d994a621f38f3fef86919a860b51c30fe8"
	case "mongodb-macos-x86_64-8.0.15":
		return "30136672da526631d9c98914cadeaafee1a648645d443fbb187ae1fc08fe6e60"
	case "mongodb-macos-arm64-8.0.15":
		return "df25e838c0fa4bdd1712b51609cb42315e5aba5963aef5ec54611406f1e6939c"
	case "mongodb-linux-x86_64-ubuntu2404-8.2.6":
		return "56314a0f0a81238d974302fbffe7862efe9694c498ead62a0bca92cb595a0df0"
	case "mongodb-linux-aarch64-ubuntu2404-8.2.6":
		return "8eaa50d208e82df9effa462a6c5cb200a65b037fa118af0153f701ce1ceab422"
	}
	return ""
}

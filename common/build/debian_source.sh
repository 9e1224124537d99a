#!/bin/sh
# Fetch the source of a Debian package and unpack what its authors released: debian_source.sh PACKAGE DIR
#
# For libraries that the shim needs built in its own way. apt checks the signatures; its own lists and settings stay as they are: we
# turn the host's binary sources into source ones in a directory of our own.
set -eu

package=$1 dir=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$work/lists/partial" "$work/cache" "$work/get"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    case $file in
    *.list) [ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >>"$work/parts/all.list" ;;
    *.sources) [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/$(basename "$file")" ;;
    esac
done
apt() {
    apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State::Lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User= "$@"
}
apt update
(cd "$work/get" && apt source --download-only "$package" >/dev/null)
mkdir "$work/tree"
tar -xf "$work/get/"*.orig.tar.* -C "$work/tree" --strip-components=1
mkdir -p "$(dirname "$dir")"
rm -rf "$dir"
mv "$work/tree" "$dir"

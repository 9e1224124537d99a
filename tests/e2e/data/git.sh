# Commits, branches, a merge with a conflict, clones, collected garbage; dates and names fixed, so that hashes are the same.
export GIT_AUTHOR_DATE='2001-02-03T04:05:06Z' GIT_COMMITTER_DATE='2001-02-03T04:05:06Z' GIT_CONFIG_NOSYSTEM=1 HOME=/tmp
git config --global user.name Somebody; git config --global user.email some@body; git config --global init.defaultBranch main
git config --global protocol.file.allow always; git config --global advice.detachedHead false
mkdir /tmp/r && cd /tmp/r && git init -q || exit 1
for i in $(seq 14); do echo "line $i" >> file; echo $i > f$((i % 5)); git add . && git commit -qm "step $i"; done
git checkout -qb side HEAD~3; echo other > f1; git commit -qam side; git checkout -q main
git merge side > /tmp/merge 2>&1; echo "merge $?"; grep -c CONFLICT /tmp/merge; echo both > f1; git commit -qam merged
git log --oneline --graph | head -8
git gc -q && git count-objects && git fsck --full 2>&1 | tail -1
git clone -q /tmp/r /tmp/local && git -C /tmp/local log -1 --format=%H
git clone -q --bare --depth 3 file:///tmp/r /tmp/bare && git -C /tmp/bare log --oneline | wc -l
cd /tmp/local && echo more >> file && git commit -qam more && git push -q origin main:pushed && git -C /tmp/r branch
git stash list; git diff --stat HEAD~2 | tail -1; git grep -c line; git archive HEAD | tar -tf - | sort | head -3
git bisect start HEAD HEAD~8 > /dev/null && git bisect run sh -c '! grep -q "line 11" file' | grep 'first bad'

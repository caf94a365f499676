#!/bin/sh
# MinIO from its source, for k8s/minio/Dockerfile and for the tests; needs Go.
#
#     k8s/minio/build.sh VERSION FOLDER [as-it-is]     VERSION: of the Go module github.com/minio/minio
#
# Its last source lets everybody who knows the name of a user write what that user may write, without
# a password (CVE-2026-40344, CVE-2026-41145): uploads of unsigned chunks are not held to their
# signature. Nobody publishes a version without that, so it is mended here, unless `as-it-is` is said.
# The server tells the time of its source, by which its age is known.
set -eu
version=$1 folder=$2 changes=${3:-mended}
module=github.com/minio/minio
info=$(go mod download -json "$module@$version")
field() { printf '%s\n' "$info" | sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p"; }
digits=$(printf '%s\n' "$version" | sed -n 's/^v0\.0\.0-\([0-9]\{14\}\)-[0-9a-f]\{12\}$/\1/p')
test -n "$digits" || { echo "$version: not of the form v0.0.0-TIME-COMMIT" >&2; exit 2; }
time=$(printf '%s\n' "$digits" | sed 's/\(....\)\(..\)\(..\)\(..\)\(..\)\(..\)/\1-\2-\3T\4:\5:\6Z/')
commit=${version##*-}

source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cp -R "$(field Dir)/." "$source"
chmod -R u+w "$source"
cd "$source"
if [ "$changes" = mended ]; then
    for file in cmd/object-handlers.go cmd/object-multipart-handlers.go; do
        sed -i 's/newUnsignedV4ChunkedReader(r, true, .* != "")/newUnsignedV4ChunkedReader(r, true, true)/' $file
        grep -q 'newUnsignedV4ChunkedReader(r, true, true)' $file
    done
    # Archives that are taken apart on the server: nothing is signed of such an upload.
    sed -i '/^func (api objectAPIHandlers) PutObjectExtractHandler(/,/^}/ s/^\tcase authTypeSignedV2, authTypePresignedV2:/\tcase authTypeStreamingUnsignedTrailer:\n\t\twriteErrorResponse(ctx, w, errorCodes.ToAPIErr(ErrAccessDenied), r.URL)\n\t\treturn\n&/' cmd/object-handlers.go
    grep -A1 '^	case authTypeStreamingUnsignedTrailer:$' cmd/object-handlers.go | grep -q ErrAccessDenied
fi
facts=$module/cmd
CGO_ENABLED=0 go build -trimpath -o "$folder/minio" -ldflags "-s -w \
    -X $facts.Version=$time -X $facts.ReleaseTag=DEVELOPMENT.$(printf '%s' "$time" | tr : -) \
    -X $facts.CommitID=$commit -X $facts.ShortCommitID=$commit" .

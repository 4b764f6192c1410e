python3 - <<'END'
import base64, bz2, gzip, io, tarfile, zipfile

layer = gzip.decompress(open("parcel.bin", "rb").read())
layer = base64.b64decode(layer)
layer = zipfile.ZipFile(io.BytesIO(layer)).read("layer")
layer = bz2.decompress(layer)
layer = tarfile.open(fileobj=io.BytesIO(layer)).extractfile("inner/letter").read()
for line in gzip.decompress(layer).decode().splitlines():
    if line.startswith("password: "):
        open("password.txt", "w").write(line.removeprefix("password: ") + "\n")
END
cat password.txt

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedWriter;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.NullableSchema;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Kafka's side of the comparison. WireDiff OURS THEIRS SEED ROUNDS
 * Every line of OURS (message, version, hex, JSON) must be read by Kafka's class, written back byte for byte and
 * printed as the same JSON. Then random values, made along the schema that each class carries, are written to THEIRS.
 */
public class WireDiff {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Map<String, String> classes = new TreeMap<>();
    private final Random random;
    private int passed;
    private int failed;

    private WireDiff(long seed) {
        random = new Random(seed);
    }

    /** Every generated class on the class path, by its simple name. */
    private void findClasses() throws IOException {
        for (String jar : System.getProperty("java.class.path").split(":")) {
            if (!jar.endsWith(".jar") || !jar.contains("kafka")) {
                continue;
            }
            try (JarFile file = new JarFile(jar)) {
                file.stream().map(e -> e.getName())
                    .filter(n -> n.endsWith(".class") && !n.contains("$"))
                    .filter(n -> n.contains("/common/message/") || n.contains("/common/metadata/") || n.contains("/generated/"))
                    .filter(n -> !n.contains("/raft/generated/")) // a file of JSON
                    .filter(n -> !n.contains("JsonConverter"))
                    .map(n -> n.substring(0, n.length() - 6).replace('/', '.'))
                    .forEach(n -> classes.put(n.substring(n.lastIndexOf('.') + 1), n));
            }
        }
    }

    private Class<?> classOf(String message) throws ClassNotFoundException {
        String name = classes.get(message + "Data");
        if (name == null) {
            name = classes.get(message);
        }
        if (name == null) {
            throw new ClassNotFoundException(message);
        }
        return Class.forName(name);
    }

    private static Message read(Class<?> type, byte[] bytes, short version) throws Exception {
        Message message = (Message) type.getConstructor().newInstance();
        ByteBuffer in = ByteBuffer.wrap(bytes);
        message.read(new ByteBufferAccessor(in), version);
        if (in.hasRemaining()) {
            throw new IllegalStateException(in.remaining() + " bytes are left over");
        }
        return message;
    }

    private static byte[] write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer out = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(out), cache, version);
        return out.array();
    }

    private static String json(Class<?> type, Message message, short version) throws Exception {
        Class<?> converter = Class.forName(type.getName() + "JsonConverter");
        return converter.getMethod("write", type, short.class, boolean.class)
            .invoke(null, message, version, false).toString();
    }

    private void fail(String what) {
        if (failed++ < 20) {
            System.out.println(what);
        }
    }

    private void check(String line) {
        String[] part = line.split("\t", -1);
        short version = Short.parseShort(part[1]);
        try {
            Class<?> type = classOf(part[0]);
            Message message = read(type, HexFormat.of().parseHex(part[2]), version);
            String back = HexFormat.of().formatHex(write(message, version));
            JsonNode ours = JSON.readTree(part[3]);
            String theirs = json(type, message, version);
            if (!back.equals(part[2])) {
                fail(part[0] + " version " + version + "\n  ours   " + part[2] + "\n  Kafka's " + back);
            } else if (!JSON.readTree(theirs).toString().equals(ours.toString())) {
                fail(part[0] + " version " + version + "\n  ours    " + ours + "\n  Kafka's " + theirs);
            } else {
                passed++;
            }
        } catch (Exception | Error e) {
            fail(part[0] + " version " + version + ": " + e + "\n  " + part[2]);
        }
    }

    /** Classes that we know nothing of, among those that have versions. */
    private void findMissing(TreeSet<String> known) throws Exception {
        for (Map.Entry<String, String> e : classes.entrySet()) {
            Class<?> type = Class.forName(e.getValue());
            String name = e.getKey().endsWith("Data") && !known.contains(e.getKey())
                ? e.getKey().substring(0, e.getKey().length() - 4) : e.getKey();
            if (Message.class.isAssignableFrom(type) && !known.contains(name) && schemas(type).length > 0) {
                fail(name + ": Kafka has it, we have not");
            }
        }
    }

    private static Schema[] schemas(Class<?> type) throws Exception {
        Field field = type.getField("SCHEMAS");
        return (Schema[]) field.get(null);
    }

    private long randomNumber() {
        switch (random.nextInt(4)) {
            case 0:
                return random.nextInt(4) - 1;
            case 1:
                return random.nextBoolean() ? Long.MAX_VALUE : Long.MIN_VALUE >> random.nextInt(64);
            default:
                return random.nextLong() >> random.nextInt(64);
        }
    }

    private byte[] randomBytes() {
        byte[] bytes = new byte[random.nextInt(random.nextInt(30) == 0 ? 300 : 12)];
        random.nextBytes(bytes);
        return bytes;
    }

    private String randomText() {
        String[] odd = {"", "ä", "日本", "\uD83D\uDC1F"};
        StringBuilder text = new StringBuilder(random.nextInt(6) == 0 ? odd[random.nextInt(odd.length)] : "");
        for (int n = random.nextInt(random.nextInt(30) == 0 ? 300 : 10); n > 0; n--) {
            text.append((char) ('a' + random.nextInt(26)));
        }
        return text.toString();
    }

    private Object randomStruct(Schema schema, int depth) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, randomValue(field.def.type, depth + 1));
        }
        return struct;
    }

    private Object randomValue(Type type, int depth) {
        if (type.isNullable() && random.nextInt(4) == 0) {
            return null;
        }
        if (type instanceof NullableSchema || type instanceof Schema) {
            return randomStruct((Schema) type, depth);
        }
        if (type instanceof TaggedFields) {
            Map<Integer, Object> tags = new TreeMap<>();
            ((TaggedFields) type).fields().forEach((tag, field) -> {
                // A tagged null struct is -1 by Kafka's schema, but 0 by its class, which is what counts.
                Object value = field.type instanceof NullableSchema
                    ? randomStruct((Schema) field.type, depth + 1) : randomValue(field.type, depth + 1);
                if (random.nextInt(3) > 0) {
                    tags.put(tag, value);
                }
            });
            return tags;
        }
        if (type.isArray()) {
            Object[] values = new Object[random.nextInt(depth > 3 ? 2 : 4)];
            for (int i = 0; i < values.length; i++) {
                values[i] = randomValue(type.arrayElementType().get(), depth + 1);
            }
            return values;
        }
        return randomScalar(type);
    }

    private Object randomScalar(Type type) {
        String name = type.toString();
        switch (name) {
            case "BOOLEAN":
                return random.nextBoolean();
            case "INT8":
                return (byte) randomNumber();
            case "INT16":
                return (short) randomNumber();
            case "UINT16":
                return (int) (randomNumber() & 0xffff);
            case "INT32":
                return (int) randomNumber();
            case "UINT32":
                return randomNumber() & 0xffffffffL;
            case "INT64":
                return randomNumber();
            case "FLOAT64":
                return random.nextGaussian();
            case "UUID":
                return new Uuid(random.nextLong(), random.nextLong());
            default:
                if (name.contains("STRING")) {
                    return randomText();
                }
                if (name.contains("RECORDS")) {
                    return MemoryRecords.readableRecords(ByteBuffer.wrap(randomBytes()));
                }
                if (name.contains("BYTES")) {
                    return ByteBuffer.wrap(randomBytes());
                }
                throw new IllegalArgumentException("what is " + name + "?");
        }
    }

    /** Written along the schema, read by the class, and written by the class: its form of a random value. */
    private void make(String message, Class<?> type, short version, BufferedWriter out) throws IOException {
        try {
            Schema schema = schemas(type)[version];
            Struct value = (Struct) randomStruct(schema, 0);
            ByteBuffer bytes = ByteBuffer.allocate(schema.sizeOf(value));
            schema.write(bytes, value);
            byte[] canonical = write(read(type, bytes.array(), version), version);
            out.write(message + "\t" + version + "\t" + HexFormat.of().formatHex(canonical) + "\n");
        } catch (Exception | Error e) {
            fail(message + " version " + version + ": can't be made: " + e);
        }
    }

    public static void main(String[] args) throws Exception {
        WireDiff diff = new WireDiff(Long.parseLong(args[2]));
        diff.findClasses();
        TreeMap<String, TreeSet<Short>> known = new TreeMap<>();
        try (Stream<String> lines = Files.lines(Path.of(args[0]))) {
            lines.forEach(line -> {
                String[] part = line.split("\t", 3);
                known.computeIfAbsent(part[0], k -> new TreeSet<>()).add(Short.parseShort(part[1]));
                diff.check(line);
            });
        }
        diff.findMissing(new TreeSet<>(known.keySet()));
        try (BufferedWriter out = Files.newBufferedWriter(Path.of(args[1]))) {
            for (Map.Entry<String, TreeSet<Short>> e : known.entrySet()) {
                Class<?> type = diff.classOf(e.getKey());
                List<Short> versions = new ArrayList<>();
                for (short v = 0; v < schemas(type).length; v++) {
                    if (schemas(type)[v] != null) {
                        versions.add(v);
                    }
                }
                if (!versions.equals(new ArrayList<>(e.getValue()))) {
                    diff.fail(e.getKey() + ": our versions are " + e.getValue() + ", Kafka's " + versions);
                }
                for (int n = Integer.parseInt(args[3]); n > 0; n--) {
                    for (short version : versions) {
                        diff.make(e.getKey(), type, version, out);
                    }
                }
            }
        }
        System.out.println("our bytes: " + diff.passed + " passed, " + diff.failed + " failed");
        System.exit(diff.failed > 0 || diff.passed == 0 ? 1 : 0);
    }
}

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

/** Sends requests as they are told, through Kafka's own message classes, and tells the answers.
 *      Raw HOST:PORT HOST:PORT…
 *  A line of input: {"api": …, "version": …, "header": another version for the header, "silent": no answer is expected,
 *  "body": fields that differ from their defaults}. Bytes are base64; "$id:NAME" is the id of a topic on that node.
 *  A line of output: a list with one value a node: the answer, {"closed": true}, {"silent": true}, or {"unsupported": why}
 *  if this version can't say it. */
class Raw {
    static final ObjectMapper JSON = new ObjectMapper();
    static final int WAIT_MS = 2500, SILENCE_MS = 300;
    final String host;
    final int port;
    final Map<String, Uuid> ids = new HashMap<>();
    Socket socket;
    int correlation;

    Raw(String at) {
        host = at.substring(0, at.lastIndexOf(':'));
        port = Integer.parseInt(at.substring(at.lastIndexOf(':') + 1));
    }

    static byte[] write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer out = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(out), cache, version);
        return out.array();
    }

    /** null: the connection ended. */
    ByteBuffer call(ApiMessageType api, short version, short inHeader, byte[] body, boolean silent) throws IOException {
        if (socket == null || socket.isClosed()) {
            socket = new Socket(host, port);
            socket.setTcpNoDelay(true);
        }
        socket.setSoTimeout(silent ? SILENCE_MS : WAIT_MS);
        byte[] header = write(new RequestHeaderData().setRequestApiKey(api.apiKey()).setRequestApiVersion(inHeader)
            .setCorrelationId(++correlation).setClientId("raw"), api.requestHeaderVersion(version));
        try {
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            ByteBuffer frame = ByteBuffer.allocate(4 + header.length + body.length);
            frame.putInt(header.length + body.length).put(header).put(body);
            out.write(frame.array());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = new byte[in.readInt()];
            in.readFully(answer);
            return ByteBuffer.wrap(answer);
        } catch (SocketTimeoutException e) {
            socket.close(); // Kafka never answers on it again
            throw e;
        } catch (IOException e) {
            socket.close();
            return null;
        }
    }

    Uuid idOf(String topic) throws IOException {
        Uuid known = ids.get(topic);
        if (known != null) {
            return known;
        }
        MetadataRequestData ask = new MetadataRequestData().setAllowAutoTopicCreation(false)
            .setTopics(List.of(new MetadataRequestData.MetadataRequestTopic().setName(topic)));
        ByteBuffer in = call(ApiMessageType.METADATA, (short) 12, (short) 12, write(ask, (short) 12), false);
        ByteBufferAccessor from = new ByteBufferAccessor(in);
        new ResponseHeaderData(from, (short) 1);
        Uuid id = new MetadataResponseData(from, (short) 12).topics().iterator().next().topicId();
        ids.put(topic, id);
        return id;
    }

    Object value(Type type, JsonNode node) throws Exception {
        if (node.isNull()) {
            return null;
        }
        if (type instanceof ParameterizedType) {
            List<Object> list = new ArrayList<>();
            for (JsonNode each : node) {
                list.add(value(((ParameterizedType) type).getActualTypeArguments()[0], each));
            }
            return list;
        }
        Class<?> c = (Class<?>) type;
        if (c == String.class) {
            return node.asText();
        } else if (c == boolean.class) {
            return node.asBoolean();
        } else if (c == byte.class || c == Byte.class) {
            return (byte) node.asInt();
        } else if (c == short.class || c == Short.class) {
            return (short) node.asInt();
        } else if (c == int.class || c == Integer.class) {
            return node.asInt();
        } else if (c == long.class || c == Long.class) {
            return node.asLong();
        } else if (c == Uuid.class) {
            String text = node.asText();
            return text.startsWith("$id:") ? idOf(text.substring(4)) : Uuid.fromString(text);
        } else if (c == byte[].class) {
            return Base64.getDecoder().decode(node.asText());
        } else if (c == BaseRecords.class) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(Base64.getDecoder().decode(node.asText())));
        } else if (Collection.class.isAssignableFrom(c)) {
            Type of = ((ParameterizedType) c.getGenericSuperclass()).getActualTypeArguments()[0];
            Method add = c.getMethod("mustAdd", Class.forName("org.apache.kafka.common.utils.ImplicitLinkedHashCollection$Element"));
            Object out = c.getConstructor().newInstance();
            for (JsonNode each : node) {
                add.invoke(out, value(of, each));
            }
            return out;
        }
        Object out = c.getConstructor().newInstance();
        fill(out, node);
        return out;
    }

    void fill(Object message, JsonNode fields) throws Exception {
        for (String name : (Iterable<String>) fields::fieldNames) {
            String setter = "set" + Character.toUpperCase(name.charAt(0)) + name.substring(1);
            Method found = null;
            for (Method m : message.getClass().getMethods()) {
                found = m.getName().equals(setter) && m.getParameterCount() == 1 ? m : found;
            }
            if (found == null) {
                throw new IllegalArgumentException(message.getClass() + " has no " + name);
            }
            found.invoke(message, value(found.getGenericParameterTypes()[0], fields.get(name)));
        }
    }

    JsonNode ask(JsonNode in) throws Exception {
        ApiMessageType api = ApiMessageType.valueOf(in.get("api").asText().replaceAll("(?<=[a-z])([A-Z])", "_$1").toUpperCase());
        short version = (short) in.get("version").asInt();
        Message request = api.newRequest();
        byte[] body;
        fill(request, in.get("body"));
        try {
            body = write(request, version);
        } catch (UnsupportedVersionException | NullPointerException e) {
            return JSON.createObjectNode().put("unsupported", e.getMessage());
        }
        short header = (short) in.path("header").asInt(version);
        try {
            ByteBuffer answer = call(api, version, header, body, in.path("silent").asBoolean());
            if (answer == null) {
                return JSON.createObjectNode().put("closed", true);
            }
            ByteBufferAccessor from = new ByteBufferAccessor(answer);
            short as = (short) in.path("answer").asInt(version);
            new ResponseHeaderData(from, api.responseHeaderVersion(as));
            Message response = api.newResponse();
            response.read(from, as);
            Class<?> type = response.getClass();
            ObjectNode out = (ObjectNode) Class.forName(type.getName() + "JsonConverter")
                .getMethod("write", type, short.class, boolean.class).invoke(null, response, as, true);
            return answer.hasRemaining() ? out.put("left over", answer.remaining()) : out;
        } catch (SocketTimeoutException e) {
            return JSON.createObjectNode().put("silent", true);
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        List<Raw> nodes = new ArrayList<>();
        for (String at : args) {
            nodes.add(new Raw(at));
        }
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            List<JsonNode> out = new ArrayList<>();
            for (Raw node : nodes) {
                try {
                    out.add(node.ask(JSON.readTree(line)));
                } catch (InvocationTargetException e) {
                    throw new RuntimeException(line, e.getCause());
                }
            }
            System.out.println(JSON.writeValueAsString(out));
            System.out.flush();
        }
    }
}
